"""Files by a mapping: the same transactions whatever the file is written as."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import openpyxl
import pyarrow as pa
import pytest
from pyarrow import parquet

from infra.produce.errors import InputError
from infra.produce.files import open_input
from infra.produce.options import Reading
from infra.produce.planning import FilePlanner
from infra.produce.recognised import mapping_for
from infra.produce.rows import LEFT_OUT, Item, ProducerRecord, RejectedRow
from schemas.mapping import MappingSpec, load_mapping
from schemas.mapping.ready import READY, ready_mapping
from schemas.transaction import Decoder, Transaction
from tests.support.layouts import Expected, layout

MAPPING = """
[source]
delimiter = ";"
encoding = "latin-1"
[id]
from = ["Beleg", "Konto"]
read = "hash"
[user_id]
from = "Konto"
read = "uuid5"
[amount]
from = "Betrag"
decimal = ","
[txn_date]
from = "Buchung"
format = "%d.%m.%Y"
zone = "Europe/Berlin"
[currency]
value = "EUR"
[status]
value = "settled"
[[only]]
from = "Art"
not = "Saldo"
"""
ROWS = [
    [str(number), "Müller, K.", f"1.2{number}0,50", f"{number}.04.2018", "Kauf"] for number in range(1, 8)
]
HEADER = ["Beleg", "Konto", "Betrag", "Buchung", "Art"]


def text(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(";".join(row) for row in [HEADER, *rows]) + "\n"


def read(path: Path, spec: MappingSpec) -> tuple[list[Item], list[str]]:
    said: list[str] = []
    reading = Reading(definition=spec)
    with open_input(path, reading.form()) as opened:
        return list(FilePlanner(reading, Decoder(), said.append).plan(opened).source), said


def decoded(items: Sequence[Item]) -> Iterator[Transaction]:
    for item in items:
        if isinstance(item, ProducerRecord):
            yield Decoder().decode(item.value, item.key, 1 << 41)


def rejected(items: Sequence[Item]) -> list[tuple[int, str]]:
    return [(item.line, item.reason) for item in items if isinstance(item, RejectedRow)]


@pytest.mark.parametrize("name", READY)
def test_the_layouts_of_ready_made_mappings_go_in(tmp_path: Path, name: str) -> None:
    sample = layout(name, 50)
    (path := tmp_path / "rows.csv").write_bytes(sample.csv())

    items, _ = read(path, ready_mapping(name))

    expected = [one for one in sample.expected if isinstance(one, Expected)]
    found = [(one.user_id, one.amount, one.txn_date, one.currency) for one in decoded(items)]
    assert found == [(one.user_id, one.amount, one.txn_date, one.currency) for one in expected]
    assert {reason for _, reason in rejected(items)} <= {LEFT_OUT}
    assert len(items) == 50
    assert mapping_for(list(sample.rows[0])) == name


def test_a_layout_that_is_known_is_named_where_it_was_not_said(tmp_path: Path) -> None:
    (path := tmp_path / "rows.csv").write_bytes(layout("paysim", 2).csv())
    with (
        open_input(path, (plain := Reading()).form()) as opened,
        pytest.raises(InputError, match="The layout is known: --mapping paysim reads it"),
    ):
        list(FilePlanner(plain, Decoder(), print).plan(opened).source)


def test_a_table_is_read_as_its_mapping_says_and_its_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    rows = [
        *ROWS,
        [*ROWS[0][:4], "Saldo"],
        ["x"],
        [*ROWS[0][:2], "viel", *ROWS[0][3:]],
        ["Summe", "", "1,00", "", ""],
    ]
    path.write_bytes(("Kontoauszug\n\n" + text(rows)).encode("latin-1"))

    items, said = read(path, load_mapping(MAPPING))

    assert said == ["left out: 2 lines before the header"]
    assert [one.amount for one in decoded(items)] == [120_050 + number * 1000 for number in range(1, 8)]
    assert next(decoded(items)).txn_date == datetime(2018, 3, 31, 22, tzinfo=UTC)
    assert rejected(items) == [(11, "left out"), (12, "csv"), (13, "amount"), (14, "totals")]


def test_typed_files_are_read_with_their_types(tmp_path: Path) -> None:
    spec = load_mapping(MAPPING.replace('format = "%d.%m.%Y"\n', ""))
    dates = [datetime(2018, 4, number, 10) for number in range(1, 8)]  # noqa: DTZ001 - the mapping has the zone
    table = pa.table(
        {
            "Beleg": list(range(1, 8)),
            "Konto": ["Müller, K."] * 7,
            "Betrag": pa.array([Decimal(f"{number}.50") for number in range(1, 8)], pa.decimal128(9, 2)),
            "Buchung": dates,
            "Art": ["Kauf"] * 7,
        }
    )
    parquet.write_table(table, path := tmp_path / "rows")
    from_parquet, _ = read(path, spec)
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in [["Kontoauszug"], HEADER, *([*one.values()] for one in table.to_pylist())]:
        sheet.append(row)
    book.save(path)
    from_sheet, said = read(path, spec)

    assert said == ["left out: 1 row before the header"]
    assert [*decoded(from_sheet)] == [*decoded(from_parquet)]
    assert [one.amount for one in decoded(from_parquet)] == [number * 100 + 50 for number in range(1, 8)]
    assert next(decoded(from_parquet)).txn_date == datetime(2018, 4, 1, 8, tzinfo=UTC)


def test_json_is_read_exactly_and_what_is_none_is_rejected(tmp_path: Path) -> None:
    spec = load_mapping(MAPPING.replace('decimal = ","', "").replace('"latin-1"', '"utf-8"'))
    one = dict(zip(HEADER, ROWS[0], strict=True))
    path = tmp_path / "rows.json"
    exact = json.dumps(one | {"Betrag": 0}).replace(": 0", ": 900719925474099.31")
    path.write_text(f"{exact}\n\nnone\n[1]\n{json.dumps(one | {'Betrag': 'NaN'})}\n")

    items, _ = read(path, spec)

    assert [txn.amount for txn in decoded(items)] == [90_071_992_547_409_931]
    assert rejected(items) == [(3, "json"), (4, "json"), (5, "amount")]


def test_a_table_without_a_column_that_the_mapping_reads_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(text(ROWS).replace("Betrag", "Wert"))
    with pytest.raises(InputError, match="no column Betrag, which the mapping reads; there are: Beleg"):
        read(path, load_mapping(MAPPING.replace('"latin-1"', '"utf-8"')))

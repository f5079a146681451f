"""The same rows in files of every kind, and what is said of files that cannot be read."""

import bz2
import csv
import gzip
import io
import json
import lzma
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
from pyarrow import parquet

from infra.mapping.sample import sample_of
from infra.produce.compression import zstd
from infra.produce.errors import InputError
from infra.produce.files import MAX_LINE, FileForm, checked_utf8, open_input
from infra.produce.options import Reading
from infra.produce.rows import Item, ProducerRecord, RejectedRow
from schemas.transaction import Decoder

HEADER = ["id", "user_id", "amount", "currency", "txn_date", "status"]
ROWS = [
    [
        f"f06a72cf-e094-50a7-b663-8929e421dd{number:02}",
        "1e145f1e-f2e1-512a-aebb-35bb6597e178",
        f"{number}.50",
        "EUR",
        f"2018-04-21T10:00:{number:02}Z",
        "gebührenpflichtig",
    ]
    for number in range(20)
]
OBJECTS = [dict(zip(HEADER, row, strict=True)) for row in ROWS]
EXPECTED = [json.dumps(one) for one in OBJECTS]


def text(delimiter: str = ",", rows: Sequence[Sequence[str]] = ROWS) -> str:
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=delimiter).writerows([HEADER, *rows])
    return written.getvalue()


def read(path: Path, reading: Reading | None = None) -> tuple[list[Item], list[str]]:
    """What `produce` would send or reject, and what it says."""
    reading = reading or Reading()
    with open_input(path, reading.form()) as opened:
        lines = opened.lines() if reading.encoding else checked_utf8(opened.lines())
        return list(reading.reader(decoder=Decoder()).read(lines)), opened.notes


def values(items: Sequence[Item]) -> list[str]:
    """The fields of records, as they are sent."""
    found = [json.loads(item.value) for item in items if isinstance(item, ProducerRecord)]
    return [json.dumps({name: str(one[name]) for name in HEADER}) for one in found]


def rejected(items: Sequence[Item]) -> list[tuple[int, str]]:
    return [(item.line, item.reason) for item in items if isinstance(item, RejectedRow)]


def xz_streams(data: bytes) -> bytes:
    return lzma.compress(data[:100]) + b"\0" * 8 + lzma.compress(data[100:])


def zipped(data: bytes, *more: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("rows.csv", *more):
            archive.writestr(name, data)
    return written.getvalue()


@pytest.mark.parametrize(
    "pack", [gzip.compress, bz2.compress, lzma.compress, xz_streams, zstd.compress, zipped]
)
def test_a_packed_file_is_read_by_its_content(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "rows"
    path.write_bytes(pack(text().encode()))
    assert values(read(path)[0]) == EXPECTED


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress, zstd.compress])
def test_a_packed_file_that_was_cut_off_is_an_error(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "rows"
    path.write_bytes(pack(text().encode())[:-20])
    with pytest.raises(InputError, match="cannot be read"):
        read(path)


def test_of_a_zip_with_several_files_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.zip"
    path.write_bytes(zipped(text().encode(), "other.csv", "__MACOSX/._rows.csv", "folder/"))
    with pytest.raises(InputError, match=r"it has 2 files: say which with --part, of rows\.csv, other\.csv"):
        read(path)
    with pytest.raises(InputError, match=r"it has no file third\.csv: say which with --part"):
        read(path, Reading(part="third.csv"))
    assert values(read(path, Reading(part="other.csv"))[0]) == EXPECTED


@pytest.mark.parametrize("pack", [zipped, bz2.compress, zstd.compress, lzma.compress])
def test_a_small_file_that_unpacks_to_a_large_one_takes_little_memory(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(pack(b"\0" * (32 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="is no text"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff"), ("utf-32", b""), ("utf-8", b"\xef\xbb\xbf")],
)
@pytest.mark.parametrize("content", [text(), "".join(f"{one}\n" for one in EXPECTED), json.dumps(OBJECTS)])
def test_a_byte_order_mark_says_the_encoding(
    tmp_path: Path, encoding: str, mark: bytes, content: str
) -> None:
    path = tmp_path / "rows"
    path.write_bytes(mark + content.encode(encoding))
    assert values(read(path)[0]) == EXPECTED


def test_what_is_not_utf_8_is_refused_until_its_encoding_is_said(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(text().encode("latin-1"))
    with pytest.raises(InputError, match=r"line 2 is not UTF-8 \(b'\\xfc'\): say --encoding latin-1, cp1252"):
        read(path)
    assert values(read(path, Reading(encoding="latin-1"))[0]) == EXPECTED
    assert rejected(read(path, Reading(encoding="utf-8"))[0])[0] == (2, "json")
    path.write_bytes(text().encode("utf-16-le"))
    with pytest.raises(InputError, match="--encoding utf-16-le"):
        read(path)
    assert values(read(path, Reading(encoding="utf-16-le"))[0]) == EXPECTED
    path.write_bytes("ab\ncé\n".encode("cp1252"))
    with pytest.raises(InputError, match="cannot be read"):
        read(path, Reading(encoding="ascii"))


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("sep=;\n", ["left out: 1 line before the header"]),
        ('"sep=;"\r\n', ["left out: 1 line before the header"]),
        ("Account statement;;;\nPeriod;2018;04;id\n\n", ["left out: 3 lines before the header"]),
        ("", []),
    ],
)
def test_lines_before_the_header_are_left_out_and_lines_are_still_counted(
    tmp_path: Path, before: str, said: list[str]
) -> None:
    path = tmp_path / "rows.csv"
    bad = [*ROWS[0][:2], "-1", *ROWS[0][3:]]
    path.write_text(before + text(";", [*ROWS, bad]))
    items, notes = read(path)
    assert (values(items), notes) == (EXPECTED, said)
    assert rejected(items) == [(before.count("\n") + len(ROWS) + 2, "amount")]


def test_delimiters_at_the_ends_of_lines_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    header, *rows = text(";").splitlines()
    for ends in (("", ";"), (";", ""), (";;", ";"), (";", ";;;")):
        path.write_text("\n".join([header + ends[0], *(row + ends[1] for row in rows)]))
        assert values(read(path)[0]) == EXPECTED


def test_a_row_of_totals_is_no_wrong_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    for totals in ("Total,,210.00,,,", "Grand total,210.00", ",,Summe: 20,,,", "合計,210.00"):
        path.write_text(text() + totals + "\n", encoding="utf-8")
        items, _ = read(path)
        assert (values(items), rejected(items)) == (EXPECTED, [(len(ROWS) + 2, "totals")])
    path.write_text(text() + "Totally else\n")
    assert rejected(read(path)[0]) == [(len(ROWS) + 2, "csv")]


@pytest.mark.parametrize("indent", [None, 2, 0])
def test_json_over_several_lines_is_read_object_by_object(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "rows.json"
    one_by_one = "\n".join(json.dumps(one, indent=indent) for one in OBJECTS)
    for content in (
        json.dumps(OBJECTS, indent=indent),
        f" \n{json.dumps(OBJECTS, indent=indent)}\n",
        one_by_one,
    ):
        path.write_text(content)
        items, notes = read(path)
        assert values(items) == EXPECTED
        assert notes in ([], ["JSON over several lines: its objects are counted as lines"])
    path.write_text(json.dumps([]))
    assert read(path)[0] == []


def test_in_a_json_array_numbers_keep_their_digits_and_wrong_elements_are_rejected(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rows.json"
    exact = EXPECTED[0].replace('"0.50"', "999999999999999999.99")
    path.write_text(f'[{exact}, 1, "x", null, {{"a": NaN}}, {EXPECTED[1]}]')
    items, _ = read(path)
    assert [json.loads(one)["amount"] for one in values(items)] == ["1e+18", "1.50"]
    assert isinstance(items[0], ProducerRecord)
    assert b"999999999999999999.99" in items[0].value
    assert [line for line, _ in rejected(items)] == [2, 3, 4, 5]


@pytest.mark.parametrize(
    "content",
    [
        "[" + EXPECTED[0],
        "[" + EXPECTED[0] + ",",
        "[" + EXPECTED[0] + "] x",
        "[" * 5000,
        "[" + EXPECTED[0][:-1],
    ],
)
def test_json_that_ends_too_early_is_an_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(content)
    with pytest.raises(InputError, match="cannot be read after object"):
        read(path)


def test_an_endless_value_in_a_json_array_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(gzip.compress(b'[{"a": "' + b"x" * (32 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=f"more than {MAX_LINE} characters"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


PAGE = {
    "object": "list",
    "tags": ["a", {"b": 1}],
    "data": OBJECTS,
    "errors": [],
    "next": {"page": 2},
    "count": 20,
}


@pytest.mark.parametrize("indent", [None, 2])
def test_the_objects_of_an_array_are_read_from_the_object_around_it(
    tmp_path: Path, indent: int | None
) -> None:
    path = tmp_path / "page.json"
    for page in (PAGE, {"data": OBJECTS}, {"transactions": OBJECTS, "count": 20}):
        path.write_text(json.dumps(page, indent=indent) + "\n")
        items, notes = read(path)
        assert values(items) == EXPECTED
        name = "data" if "data" in page else "transactions"
        assert notes == [f"JSON with an array {name}: its objects are counted as lines"]


def test_of_several_arrays_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "page.json"
    path.write_text(json.dumps({"refunds": [{"id": "x"}], "data": OBJECTS}))
    with pytest.raises(InputError, match="it has 2 arrays: say which with --part, of refunds, data"):
        read(path)
    with pytest.raises(InputError, match="it has no array other: say which with --part, of refunds, data"):
        read(path, Reading(part="other"))
    assert values(read(path, Reading(part="data"))[0]) == EXPECTED
    many = [{"id": "x" * 1000}] * 300  # more than is looked at before
    path.write_text(json.dumps({"refunds": many, "data": OBJECTS}))
    with pytest.raises(InputError, match="it has several arrays: say which with --part, of refunds, data"):
        read(path)
    with pytest.raises(InputError, match="it has no array other"):
        read(path, Reading(part="other"))
    assert values(read(path, Reading(part="data"))[0]) == EXPECTED


@pytest.mark.parametrize("count", [1, 3])
def test_an_array_in_a_record_is_a_value_of_it(tmp_path: Path, count: int) -> None:
    path = tmp_path / "rows.json"
    path.write_text("".join(json.dumps({**one, "items": [{"price": "1"}]}) + "\n" for one in OBJECTS[:count]))
    assert values(read(path)[0]) == EXPECTED[:count]
    foreign = [{"ref": row[0], "items": [{"price": "1"}]} for row in ROWS[:2]]
    path.write_text("".join(json.dumps(one) + "\n" for one in foreign))
    assert sample_of(path).records == foreign


@pytest.mark.parametrize("cut", [1, 3, 200])
def test_an_object_around_an_array_that_was_cut_off_is_an_error(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "page.json"
    path.write_text(json.dumps({"data": OBJECTS})[:-cut])
    with pytest.raises(InputError, match="cannot be read after object"):
        read(path)


def test_an_array_in_an_object_takes_as_little_memory_as_one_of_its_objects(tmp_path: Path) -> None:
    path = tmp_path / "page.json.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write(f'{{"data": [{", ".join(EXPECTED * 600)}], "count": 1}}')
    with open_input(path, FileForm()) as opened:
        tracemalloc.start()
        try:
            assert sum(1 for _ in opened.lines()) == 20 * 600
            assert tracemalloc.get_traced_memory()[1] < 2 << 20
        finally:
            tracemalloc.stop()


def table(**more: Any) -> pa.Table:
    return pa.table({name: [row[at] for row in ROWS] for at, name in enumerate(HEADER)} | more)


def test_parquet_is_read_with_its_types(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    dates = [datetime(2018, 4, 21, 10, 0, number, tzinfo=UTC) for number in range(20)]
    amounts: list[Any] = [
        pa.array([Decimal(row[2]) for row in ROWS], pa.decimal128(20, 2)),
        pa.array([float(row[2]) for row in ROWS]),
        pa.array([row[2] for row in ROWS]).dictionary_encode(),
    ]
    for amount, unit in zip(amounts, ("us", "ns", "ms"), strict=True):
        whole = table(
            amount=amount,
            txn_date=pa.array(dates, pa.timestamp(unit, "UTC")),
            status=pa.array([row[5].encode() for row in ROWS], pa.binary()),
            meta_data=pa.array(['{"shop": 7}'] * 20),
        )
        parquet.write_table(whole, path)
        items, _ = read(path)
        assert [Decoder().decode(item.value, item.key, 1 << 41).amount for item in items] == [  # type: ignore[union-attr]
            number * 100 + 50 for number in range(20)
        ]
        found = json.loads(items[3].value)  # type: ignore[union-attr]
        assert found["txn_date"].replace("+00:00", "Z") == ROWS[3][4]
        assert (found["status"], found["meta_data"]) == (ROWS[3][5], {"shop": 7})


@pytest.mark.parametrize("kind", [pa.timestamp("ms", "UTC"), pa.date32()])
def test_a_date_out_of_reach_in_parquet_costs_its_row_alone(tmp_path: Path, kind: Any) -> None:
    path, day = tmp_path / "rows", 1 if kind == pa.date32() else 86_400_000
    counted = pa.array([17_500 * day, 2_932_897 * day])  # the second is in the year 10,000
    dates = counted.cast(pa.int32() if day == 1 else pa.int64()).cast(kind)
    parquet.write_table(pa.table({"date": dates}), path)
    [good, bad] = sample_of(path).records
    assert str(good["date"]).startswith("2017-11-30")
    assert isinstance(bad["date"], str)


def test_of_columns_with_one_name_each_can_be_read(tmp_path: Path) -> None:
    names, row = ["id", "total", "total", "", ""], ["a", "1", "2", "", ""]
    csv_file, parquet_file = tmp_path / "rows.csv", tmp_path / "rows.parquet"
    csv_file.write_text(",".join(names) + "\n" + ",".join(row) + "\n")
    parquet.write_table(pa.table([[one] for one in row[:3]], names=names[:3]), parquet_file)
    for path in (csv_file, parquet_file, workbook(tmp_path / "rows.xlsx", [names, row])):
        [found] = sample_of(path).records
        assert (found["total"], found["total (2)"]) == ("1", "2"), path


def test_lines_may_end_with_carriage_returns_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(text().replace("\r\n", "\r").encode())
    assert values(read(path)[0]) == EXPECTED


def test_parquet_that_is_damaged_or_in_a_pipe_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    parquet.write_table(table(), path, compression="none")
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(InputError, match="no Parquet file that can be read"):
        read(path)
    for content in (whole, gzip.compress(whole)):
        path.write_bytes(gzip.compress(content))
        with pytest.raises(InputError, match="packed twice"):
            read(path)


def workbook(path: Path, *sheets: Sequence[Any]) -> Path:
    book = openpyxl.Workbook(write_only=True)
    for number, rows in enumerate(sheets, start=1):
        sheet = book.create_sheet(f"Sheet {number}")
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_a_workbook_is_read_with_its_types(tmp_path: Path) -> None:
    rows = [
        [*row[:2], float(row[2]), row[3], datetime(2018, 4, 21, 10, 0, number), row[5]]  # noqa: DTZ001 - it has none
        for number, row in enumerate(ROWS)
    ]
    before, bad = [["Account"], [], [None, "2018"]], [*ROWS[0][:2], -1, *ROWS[0][3:]]
    path = workbook(tmp_path / "rows", [*before, HEADER, *rows, [], bad, ["Total", None, 210]])
    items, notes = read(path, Reading(assume_utc=True))
    assert [json.loads(item.value)["txn_date"] for item in items if isinstance(item, ProducerRecord)] == [
        row[4] for row in ROWS
    ]
    assert [Decoder().decode(item.value, item.key, 1 << 41).amount for item in items[:20]] == [  # type: ignore[union-attr]
        number * 100 + 50 for number in range(20)
    ]
    assert notes == ["left out: 3 rows before the header"]
    assert rejected(items) == [(26, "amount"), (27, "totals")]
    assert {reason for _, reason in rejected(read(path)[0])} == {"txn_date", "amount", "totals"}


def with_sheet(path: Path, change: Callable[[bytes], bytes]) -> Path:
    """The workbook with the text of its first sheet changed."""
    name = "xl/worksheets/sheet1.xml"
    with zipfile.ZipFile(path) as whole:
        parts = {one: whole.read(one) for one in whole.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one, content in parts.items():
            archive.writestr(one, change(content) if one == name else content)
    return path


@pytest.mark.parametrize(
    ("rows", "where"),
    [(1, "no workbook that can be read"), (80, "cannot be read after row 8[01]")],
    ids=["at once", "later"],
)
@pytest.mark.parametrize(
    "filling", [b"<c t='inlineStr'><is><t>%b</t></is></c>" % (b"x" * (3 << 20)), b"<c/>" * (1 << 20)]
)
def test_a_row_of_a_workbook_takes_bounded_memory(
    tmp_path: Path, rows: int, where: str, filling: bytes
) -> None:
    path = workbook(tmp_path / "rows", [HEADER, *[ROWS[0]] * rows])
    last = b"<row>%b</row></sheetData>" % filling
    said = b"<dimension ref='A1:F81'/><sheetData>"  # without it openpyxl reads all at once
    with_sheet(path, lambda text: text.replace(b"</sheetData>", last).replace(b"<sheetData>", said))
    with pytest.raises(InputError, match=f"{where}: a row of more than 2,097,152 bytes$"):
        read(path)


def test_what_is_behind_the_rows_of_a_workbook_may_be_long(tmp_path: Path) -> None:
    path = workbook(tmp_path / "rows", [HEADER, *ROWS])
    after = b"</sheetData><mergeCells>%b</mergeCells>" % (b"<mergeCell ref='A1:B2'/>" * 100_000)
    with_sheet(path, lambda text: text.replace(b"</sheetData>", after))
    assert values(read(path)[0]) == EXPECTED


def test_of_a_workbook_with_several_sheets_one_is_named(tmp_path: Path) -> None:
    path = workbook(tmp_path / "rows", [["notes"]], [HEADER, *ROWS])
    with pytest.raises(InputError, match="it has 2 sheets: say which with --part, of Sheet 1, Sheet 2"):
        read(path)
    assert values(read(path, Reading(part="Sheet 2"))[0]) == EXPECTED


def test_a_library_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "openpyxl.reader.excel", None)
    path = workbook(tmp_path / "rows", [HEADER])
    with pytest.raises(InputError, match=r"pip install 'txnwatch\[xlsx\]'"):
        read(path)
    path.write_bytes(b"PAR1...PAR1")
    with pytest.raises(InputError, match=r"pip install 'txnwatch\[parquet\]'"):
        read(path)


@pytest.mark.parametrize(
    ("begin", "said"),
    [
        (b"\xd0\xcf\x11\xe0", "save it as xlsx"),
        (b"Obj\x01", "Avro"),
        (b"%PDF-1.7", "a PDF"),
        (b"PK\x05\x06", "a zip with nothing in it"),
    ],
)
def test_files_of_other_kinds_are_named(tmp_path: Path, begin: bytes, said: str) -> None:
    path = tmp_path / "rows"
    path.write_bytes(begin + b"rest")
    with pytest.raises(InputError, match=said):
        read(path)


def test_without_a_form_lines_are_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(b"sep=;\n[\n\xff\n")
    with open_input(path) as opened:
        assert list(opened.lines()) == [b"sep=;\n", b"[\n", b"\xff\n"]
    with open_input(path, FileForm()) as opened:
        assert list(opened.lines()) == [b"\n", b"[\n", b"\xff\n"]

"""Files of every kind, as a person sends them: the commands of docs/data.md among them."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import openpyxl
import pyarrow.csv
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from pyarrow import parquet

from infra.produce.compression import zstd
from infra.runtime.settings import Settings
from tests.support.documents import commands
from tests.support.layouts import Expected, layout

MAPPING = """
[id]
from = "Beleg"
read = "uuid5"
[user_id]
from = "Konto"
read = "uuid5"
[amount]
from = "Betrag"
[txn_date]
from = "Buchung"
zone = "UTC"
[currency]
value = "EUR"
[status]
value = "settled"
"""
ROWS = [
    ["Beleg", "Konto", "Betrag", "Buchung"],
    *(
        [f"B{number}", f"K{number % 7}", f"{number}.25", f"2018-04-21T10:{number:02}:00"]
        for number in range(60)
    ),
]


def produce(topics: Settings, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    addresses = {
        "KAFKA_BOOTSTRAP_SERVERS": topics.kafka,
        "TXNWATCH_TRANSACTIONS_TOPIC": topics.transactions_topic,
    }
    return subprocess.run(
        [Path(sys.executable).with_name("txnwatch"), "produce", *arguments],
        cwd=folder,
        env=os.environ | addresses,
        capture_output=True,
        text=True,
        check=False,
    )


async def sent(topics: Settings, count: int) -> list[dict[str, str]]:
    """What is on the topic, by the date of transactions."""
    found: list[bytes] = []
    async with AIOKafkaConsumer(
        bootstrap_servers=topics.kafka, auto_offset_reset="earliest", isolation_level="read_committed"
    ) as consumer:
        consumer.assign([TopicPartition(topics.transactions_topic, one) for one in range(topics.partitions)])
        while len(found) < count:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [record.value for record in records if record.value]
    return sorted(map(json.loads, found), key=lambda one: one["txn_date"])


def files_of(folder: Path, rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as files of several kinds."""
    text = "\n".join(map(",".join, rows)) + "\n"
    (folder / "rows.csv").write_text(text)
    (folder / "utf-16").write_text(text.replace(",", ";"), "utf-16")
    (folder / "zst").write_bytes(zstd.compress(text.encode()))
    objects = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    (folder / "array").write_text(json.dumps(objects, indent=2))
    parquet.write_table(pyarrow.csv.read_csv(folder / "rows.csv"), folder / "parquet")
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in rows:
        sheet.append(row)
    book.save(folder / "xlsx")
    return ["rows.csv", "utf-16", "zst", "array", "parquet", "xlsx"]


@pytest.mark.slow
async def test_the_same_rows_in_files_of_every_kind_are_the_same_transactions(
    topics: Settings, tmp_path: Path
) -> None:
    (tmp_path / "mapping.toml").write_text(MAPPING)
    names = files_of(tmp_path, ROWS)
    for name in names:
        done = produce(topics, tmp_path, name, "--mapping", "mapping.toml")
        assert (done.returncode, done.stdout[:8]) == (0, "60 sent "), (name, done.stderr)

    found = await sent(topics, 60 * len(names))
    assert len({(one["id"], one["user_id"], float(one["amount"]), one["txn_date"]) for one in found}) == 60
    assert {one["meta_data"]["Beleg"] for one in found} == {row[0] for row in ROWS[1:]}  # type: ignore[index]


@pytest.mark.slow
async def test_the_commands_of_the_page_on_data_do_what_it_says(topics: Settings, tmp_path: Path) -> None:
    sample = layout("paysim", 100)
    (tmp_path / "paysim.csv.gz").write_bytes(gzip.compress(sample.csv()))
    (tmp_path / "payments.toml").write_text(MAPPING)
    (tmp_path / "payments.csv").write_text("\n".join(map(",".join, [ROWS[0], *ROWS[:0:-1]])))
    told = [one.text for one in commands() if one.document == "data.md" and " produce " in one.text]
    assert len(told) == 2
    for text in told:
        arguments = [word.replace("3600x", "1000000x") for word in text.split()[2:]]  # steps are hours
        done = produce(topics, tmp_path, *arguments)
        assert done.returncode == 0, done.stderr

    expected = [one for one in sample.expected if isinstance(one, Expected)]
    found = await sent(topics, 60 + len(expected))
    assert [one["amount"] for one in found if one["currency"] == "EUR"] == [row[2] for row in ROWS[1:]]
    assert len(found) == 60 + len(expected)

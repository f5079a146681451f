"""Rows as Parquet, from the API and by `txnwatch export`, as DuckDB and Polars read them."""

import asyncio
import json
import sys
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from infra.embedded.cluster import Addresses
from infra.export.cli import export
from tests.support.rows import FLAG, Made, made, store, user
from tests.support.serving import serving, settings_from

PARQUET = "application/vnd.apache.parquet"
LARGEST = 10**20 - 1
ODD = {"line": 'a "b",\r\nc', "é\\": [1.5, None]}
FIRST = made(user(1), 1, hundredths=LARGEST, meta_data=ODD, merchant_id='m "1",', country="IN")
MANY = [
    FIRST,
    *(made(user(n % 3), n, hundredths=n, after=timedelta(days=n, microseconds=n)) for n in range(2, 40)),
    made(user(2), 40, flag=FLAG, after=timedelta(days=40), status="", card_id="c-1", channel="NULL"),
]
Reader = Callable[[Path], list[dict[str, Any]]]


def by_duckdb(file: Path) -> list[dict[str, Any]]:
    with duckdb.connect() as connection:
        connection.execute("SET timezone = 'UTC'")
        found = connection.execute("SELECT * FROM read_parquet(?)", [str(file)])
        names = [one[0] for one in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def by_polars(file: Path) -> list[dict[str, Any]]:
    return pl.read_parquet(file).to_dicts()


def expected(one: Made) -> dict[str, Any]:
    txn = one.txn
    optional = {name: getattr(txn, name) for name in ("merchant_id", "card_id", "country", "channel")}
    amount = Decimal(one.shown["amount"])
    given = {name: getattr(txn, name) for name in ("id", "user_id", "currency", "txn_date", "status")}
    return {**given, **optional, "amount": amount, "meta_data": one.shown["meta_data"]}


def plain(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "meta_data": json.loads(row["meta_data"])}


def run(database: str, *arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(export, [str(one) for one in arguments], env={"POSTGRES_URL": database})
    assert result.exit_code == code, result.output
    return result


@pytest.mark.parametrize("reader", [by_duckdb, by_polars])
def test_the_file_has_every_row_exactly_and_oldest_first(
    database: str, tmp_path: Path, reader: Reader
) -> None:
    asyncio.run(store(database, reversed(MANY)))
    file = tmp_path / "rows.parquet"
    file.write_text("from before")
    assert run(database, "--to-parquet", file).output == f"{file}: {len(MANY)} rows\n"
    assert [plain(row) for row in reader(file)] == [expected(one) for one in MANY]
    assert [*tmp_path.iterdir()] == [file]


def test_a_range_is_from_one_time_on_and_before_another(database: str, tmp_path: Path) -> None:
    asyncio.run(store(database, MANY))
    file = tmp_path / "rows.parquet"
    run(database, "--from", "2018-04-03", "--to", "2018-04-05T00:00:00.000004Z", "--to-parquet", file)
    assert [row["amount"] for row in by_polars(file)] == [Decimal("0.02"), Decimal("0.03")]
    run(database, "--from", "2030-01-01", "--to-parquet", file)
    assert by_duckdb(file) == by_polars(file) == []
    assert "not before" in run(
        database, "--from", "2018-04-03", "--to", "2018-04-03", "--to-parquet", file, code=2
    ).output  # fmt: skip


def test_what_cannot_be_done_is_said_in_a_line_and_leaves_the_file_as_it_was(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rows.parquet"
    file.write_text("from before")
    nowhere = run("postgresql://127.0.0.1:9/x", "--to-parquet", file, code=1).output
    assert "POSTGRES_URL" in nowhere
    assert "No such file" in run(database, "--to-parquet", tmp_path / "no" / "rows", code=1).output
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'txnwatch[parquet]'" in run(database, "--to-parquet", file, code=1).output
    assert [*tmp_path.iterdir()] == [file]
    assert file.read_text() == "from before"


async def test_the_api_sends_the_same_in_row_groups(
    services: Addresses, database: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.export.parquet._GROUP_BYTES", 1000)
    monkeypatch.setattr("api.reading.database._FIRST_ROWS", 3)
    monkeypatch.setattr("api.reading.database._MOST_ROWS", 5)
    await store(database, MANY)
    settings = settings_from({**services.as_env(), "POSTGRES_URL": database, "REDIS_URL": redis_url})
    query = {"user_id": user(2), "from_date": "2000-01-01", "order": "asc"}
    file = tmp_path / "rows.parquet"
    async with serving(settings) as client:
        for asked, headers in (
            ({"format": "parquet"}, {}),
            ({}, {"Accept": "application/vnd.apache.parquet"}),
        ):
            async with client.get("/transactions", params={**query, **asked}, headers=headers) as response:
                assert response.status == 200
                assert response.headers["Content-Type"] == "application/vnd.apache.parquet"
                assert (
                    response.headers["Content-Disposition"] == 'attachment; filename="transactions.parquet"'
                )
                file.write_bytes(await response.read())
            of_user = [one for one in MANY if one.txn.user_id == user(2)]
            for reader in (by_duckdb, by_polars):
                assert [plain(row) for row in reader(file)] == [expected(one) for one in of_user]
            assert pyarrow.parquet.ParquetFile(file).num_row_groups > 1
        async with client.get("/transactions", params={"user_id": user(7), "format": "parquet"}) as response:
            file.write_bytes(await response.read())
        assert by_duckdb(file) == by_polars(file) == []
        monkeypatch.setattr("api.reading.export.is_installed", lambda: False)
        async with client.get("/anomalies", params={"format": "parquet"}) as response:
            assert response.status == 501
            assert "pip install" in (await response.json())["detail"]

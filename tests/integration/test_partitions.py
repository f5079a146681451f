"""The months of the transactions table."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from api.queries import Filters, page_statement
from api.upkeep import Upkeep
from infra.partitions import months
from infra.partitions.drain import drain

USER = "00000000-0000-0000-0000-000000000007"


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    async with months.connected(database) as one:
        yield one


async def fill(connection: asyncpg.Connection, first: str, count: int, every: str = "1 hour") -> None:
    await connection.execute(
        """
        INSERT INTO transactions
        SELECT gen_random_uuid(), $1, 1, 'INR', $2::text::timestamptz + n * $4::text::interval, 'paid',
               '{"is_anomaly": false}'
        FROM generate_series(0, $3::integer - 1) AS n
        """,
        USER, first, count, every,
    )  # fmt: skip


async def by_partition(connection: asyncpg.Connection) -> dict[str, int]:
    rows = await connection.fetch(
        "SELECT tableoid::regclass::text, count(*) FROM transactions GROUP BY 1 ORDER BY 1"
    )
    return dict(rows)


async def names(connection: asyncpg.Connection) -> list[str]:
    return [row[0] for row in await connection.fetch("SELECT name FROM transactions_months ORDER BY starts")]


async def test_this_month_and_the_next_ones_are_made_once(connection: asyncpg.Connection) -> None:
    made = await months.ensure(connection, 3)
    now = datetime.now(UTC)
    expected = [
        f"transactions_{(now.year * 12 + now.month - 1 + n) // 12}_{(now.month - 1 + n) % 12 + 1:02}"
        for n in range(4)
    ]
    assert made == await names(connection) == expected
    assert await months.ensure(connection, 3) == []
    await connection.execute(
        "INSERT INTO transactions VALUES (gen_random_uuid(), $1, 1, 'INR', now(), 'paid', '{}')", USER
    )
    assert await by_partition(connection) == {expected[0]: 1}


async def test_a_month_that_has_rows_already_is_left_to_be_drained(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "INSERT INTO transactions VALUES (gen_random_uuid(), $1, 1, 'INR', now(), 'paid', '{}')", USER
    )
    assert len(await months.ensure(connection, 1)) == 1
    assert [moved.rows async for moved in drain(connection, 10)] == [1]
    assert len(await names(connection)) == 2
    assert await months.ensure(connection, 1) == []


async def test_the_api_makes_months_and_drops_none_unless_told(
    connection: asyncpg.Connection, database: str
) -> None:
    await fill(connection, "2018-04-01Z", 3)
    assert [moved.rows async for moved in drain(connection, 10)] == [3]
    assert await Upkeep(database, ahead=1, retention=0, seconds=3).once()
    assert len(await names(connection)) == 3
    assert await Upkeep(database, ahead=1, retention=1, seconds=3).once()
    assert len(await names(connection)) == 2
    assert not await Upkeep("postgresql://127.0.0.1:1/x", ahead=1, retention=0, seconds=1).once()


async def test_draining_moves_every_row_to_its_month_in_bounded_batches(
    connection: asyncpg.Connection,
) -> None:
    await fill(connection, "2018-04-29Z", 100)
    await fill(connection, "2018-06-10Z", 45)
    before = sorted(await connection.fetch("SELECT id, txn_date FROM transactions"))
    moved = [(one.month, one.rows) async for one in drain(connection, 20)]
    assert max(rows for _, rows in moved) <= 21
    assert await by_partition(connection) == {
        "transactions_2018_04": 48, "transactions_2018_05": 52, "transactions_2018_06": 45
    }  # fmt: skip
    assert sorted(await connection.fetch("SELECT id, txn_date FROM transactions")) == before
    await fill(connection, "2018-06-30 23:59:59.999999Z", 1)
    assert (await by_partition(connection))["transactions_2018_06"] == 46


async def test_draining_that_was_cut_short_goes_on_where_it_was(connection: asyncpg.Connection) -> None:
    await fill(connection, "2018-04-01Z", 100)
    batches = drain(connection, 30)
    await anext(batches)
    assert await by_partition(connection) == {"transactions_2018_04": 31, "transactions_default": 69}
    await fill(
        connection, "2018-04-01 00:30Z", 100
    )  # half of it to where the month is, half to where it is not yet
    assert sum([moved.rows async for moved in drain(connection, 1000)]) == 69 + 69
    assert await by_partition(connection) == {"transactions_2018_04": 200}


async def test_the_first_and_the_last_month_that_there_are_drain_too(connection: asyncpg.Connection) -> None:
    await fill(connection, "0001-01-01 00:00:00Z", 2)
    await fill(connection, "9999-12-31 23:59:59.999999Z", 1)
    assert [one.rows async for one in drain(connection, 10)] == [2, 1]
    assert await names(connection) == ["transactions_0001_01", "transactions_9999_12"]


async def test_rows_are_all_there_once_at_every_moment_of_a_draining(
    connection: asyncpg.Connection, database: str
) -> None:
    await fill(connection, "2018-04-01Z", 3000, "30 minutes")
    stop = asyncio.Event()

    async def insert() -> int:
        inserted = 0
        async with months.connected(database) as own:
            while not stop.is_set():
                await fill(own, "2018-04-05 00:00:01Z", 10, "7 hours")
                inserted += 10
        return inserted

    async def look() -> int:
        looked = at_least = 0
        async with months.connected(database) as own:
            while not stop.is_set():
                [[count, distinct]] = await own.fetch("SELECT count(*), count(DISTINCT id) FROM transactions")
                assert count == distinct
                assert count >= max(at_least, 3000)
                at_least = count
                looked += 1
        return looked

    async with asyncio.TaskGroup() as tasks:
        inserting, looking = tasks.create_task(insert()), tasks.create_task(look())
        moved = sum([one.rows async for one in drain(connection, 100)])
        stop.set()
    assert looking.result() > 10
    assert moved >= 3000
    assert sum((await by_partition(connection)).values()) == 3000 + inserting.result()


async def test_old_months_are_dropped_and_no_others(connection: asyncpg.Connection) -> None:
    await fill(connection, "2018-04-01Z", 100, "1 day")
    assert [one async for one in drain(connection, 1000)]
    await months.ensure(connection, 0)
    await fill(connection, "2018-01-01Z", 1)  # in the default partition: never dropped
    assert await months.drop(connection, 12_000) == []
    assert await months.drop(connection, 2) == [f"transactions_2018_0{n}" for n in (4, 5, 6, 7)]
    assert await by_partition(connection) == {"transactions_default": 1}
    assert len(await names(connection)) == 1
    with pytest.raises(asyncpg.RaiseError, match="keep at least 1 month"):
        await months.drop(connection, 0)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_range_reads_its_months_alone(connection: asyncpg.Connection, mode: str) -> None:
    await fill(connection, "2018-01-01Z", 365, "1 day")
    assert [one async for one in drain(connection, 1000)]
    filters = Filters(
        user_id=USER, from_date=datetime(2018, 4, 30, tzinfo=UTC), to_date=datetime(2018, 6, 1, tzinfo=UTC)
    )
    statement, values = page_statement(filters, None, 1000)
    await connection.execute(f"SET plan_cache_mode = {mode}")
    [[plan]] = await connection.fetch(f"EXPLAIN (FORMAT JSON, ANALYZE) {statement}", *values)
    scanned = set(relations(json.loads(plan)[0]["Plan"])) - {"transactions_default"}
    assert scanned == {"transactions_2018_04", "transactions_2018_05", "transactions_2018_06"}


def relations(node: dict[str, Any]) -> Any:
    if "Relation Name" in node:
        yield node["Relation Name"]
    for child in node.get("Plans", ()):
        yield from relations(child)


def test_the_command_does_nothing_for_good_unless_told(database: str, tmp_path: Path) -> None:
    def said(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [Path(sys.executable).with_name("txnwatch"), "partitions", *arguments],
            cwd=tmp_path, env={"POSTGRES_URL": database}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    code, text = said("ensure", "--ahead", "1")
    assert (code, text.count(": made\n")) == (0, 2)
    assert said("drain") == (0, "nothing to move\n")
    code, text = said("drop")
    assert code == 1
    assert "TXNWATCH_RETENTION_MONTHS is 0" in text
    assert said("drop", "--keep", "1") == (0, "nothing to drop\n")

"""The months of the transactions table."""

import asyncio
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from api.partitions import months_looked_after
from api.reading.statements import Filters, page_statement
from api.settings import Settings as ApiSettings
from infra.partitions import months
from infra.partitions.drain import BusyError, drain
from infra.runtime.retry import Outage

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


async def drained(connection: asyncpg.Connection, pages: int = 1) -> int:
    """How many rows a draining moved."""
    async with aclosing(drain(connection, pages)) as batches:
        return sum([sum(copied.rows.values()) async for copied in batches])


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
    assert await drained(connection) == 1
    assert len(await names(connection)) == 2
    assert await months.ensure(connection, 1) == []


def api_settings(url: str, **settings: int) -> ApiSettings:
    return ApiSettings.model_validate({"postgres": url, "months_ahead": 1, **settings})


async def test_the_api_makes_months_and_drops_none_unless_told(
    connection: asyncpg.Connection, database: str
) -> None:
    await fill(connection, "2018-04-01Z", 3)
    assert await drained(connection) == 3
    assert await months_looked_after(api_settings(database), Outage("months"))
    assert len(await names(connection)) == 3
    assert await months_looked_after(api_settings(database, retention_months=1), Outage("months"))
    assert len(await names(connection)) == 2
    assert not await months_looked_after(api_settings("postgresql://127.0.0.1:1/x"), Outage("months"))


async def test_draining_moves_every_row_to_its_month_a_few_pages_at_a_time(
    connection: asyncpg.Connection,
) -> None:
    await fill(connection, "2018-04-29Z", 1000)
    await fill(connection, "2018-06-30 22:00Z", 2)
    before = sorted(await connection.fetch("SELECT id, txn_date FROM transactions"))
    async with aclosing(drain(connection, 1)) as batches:
        copied = [one async for one in batches]
    assert len(copied) == copied[-1].pages == copied[-1].of > 10
    assert all(sum(one.rows.values()) <= 8192 // 90 for one in copied)
    assert await by_partition(connection) == sum([Counter(one.rows) for one in copied], Counter())
    assert await by_partition(connection) == {
        "transactions_2018_04": 48, "transactions_2018_05": 744, "transactions_2018_06": 210
    }  # fmt: skip
    assert sorted(await connection.fetch("SELECT id, txn_date FROM transactions")) == before
    await fill(connection, "2018-06-30 23:59:59.999999Z", 1)
    assert (await by_partition(connection))["transactions_2018_06"] == 211
    assert await drained(connection) == 0


async def test_the_table_is_as_it_was_but_for_its_partitions(connection: asyncpg.Connection) -> None:
    async def shape() -> list[asyncpg.Record]:
        """Columns, constraints and indexes of the default partition and of one month."""
        rows: list[asyncpg.Record] = await connection.fetch(
            """
            SELECT regexp_replace(pg_get_indexdef(indexrelid), ' ON .* USING', ''), indrelid::regclass::text
            FROM pg_index
            WHERE indrelid IN ('transactions_default'::regclass, to_regclass('transactions_2018_04'))
            UNION ALL
            SELECT pg_get_constraintdef(oid), conrelid::regclass::text FROM pg_constraint
            WHERE conrelid IN ('transactions_default'::regclass, to_regclass('transactions_2018_04'))
            UNION ALL
            SELECT tgname, 'a trigger' FROM pg_trigger
            WHERE tgname LIKE 'follow%'
            """
        )
        return rows

    def of(table: str, rows: list[asyncpg.Record]) -> list[str]:
        return sorted(re.sub(r"INDEX \w+", "INDEX", what) for what, name in rows if name == table)

    before = await shape()
    await fill(connection, "2018-04-01Z", 10)
    assert await drained(connection) == 10
    after = await shape()
    assert of("transactions_default", after) == of("transactions_default", before)
    brin = [what for what in of("transactions_default", after) if "brin" in what]
    assert sorted(of("transactions_2018_04", after) + brin) == of("transactions_default", after)
    assert not of("a trigger", after)
    tables = "SELECT relname FROM pg_class WHERE relname IN ('transactions_draining', 'transactions_rest')"
    assert await connection.fetch(tables) == []


async def test_no_row_is_read_while_the_table_is_locked(connection: asyncpg.Connection) -> None:
    await fill(connection, "2018-04-29Z", 100)
    said: list[str] = []
    connection.add_log_listener(lambda _, message: said.append(message.message))
    await connection.execute("SET client_min_messages = debug1")
    await drained(connection)
    for month in ("transactions_2018_04", "transactions_2018_05"):
        assert f'partition constraint for table "{month}" is implied by existing constraints' in said
    verified = [message for message in said if message.startswith("verifying table")]
    assert all("transactions_rest" in message or "transactions_default" in message for message in verified)


async def test_a_draining_that_was_cut_short_leaves_all_as_it_was(
    connection: asyncpg.Connection, database: str
) -> None:
    await fill(connection, "2018-04-01Z", 1000, "1 minute")
    async with aclosing(drain(connection, 1)) as batches:
        await anext(batches)
    assert await by_partition(connection) == {"transactions_default": 1000}
    await fill(connection, "2018-04-01 00:30Z", 1)  # no copy is looked for
    await killed(connection, database)
    await fill(connection, "2018-04-01 00:40Z", 1)  # goes to the copy that is left
    assert await drained(connection) == 1002
    assert await by_partition(connection) == {"transactions_2018_04": 1002}


async def killed(connection: asyncpg.Connection, database: str) -> None:
    """A draining that was killed after its first page."""
    async with months.connected(database) as one:
        pid = one.get_server_pid()
        batches = drain(one, 1)
        await anext(batches)
        one.terminate()
        with pytest.raises(asyncpg.InterfaceError):
            await anext(batches)
    async with asyncio.timeout(20):
        while await connection.fetchval("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", pid):
            pass


async def test_what_a_killed_draining_left_goes_when_months_are_made(
    connection: asyncpg.Connection, database: str
) -> None:
    await fill(connection, "2018-04-01Z", 1000, "1 minute")
    await killed(connection, database)
    tables = "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p') AND relname LIKE 'transactions%'"
    tables += " AND relname NOT IN ('transactions_replaced', 'transactions_gone')"
    assert await connection.fetchval(tables) == 5  # the table and its default partition; three of copies
    assert len(await months.ensure(connection, 0)) == 1
    assert await connection.fetchval(tables) == 3
    await fill(connection, "2018-04-01 00:40Z", 1)
    assert await by_partition(connection) == {"transactions_default": 1001}


async def test_a_draining_that_is_told_to_stop_clears_up(
    connection: asyncpg.Connection, database: str, tmp_path: Path
) -> None:
    await fill(connection, "2018-04-01Z", 100_000, "1 minute")
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("txnwatch"), "partitions", "drain", "--pages", "1",
        cwd=tmp_path, env={"POSTGRES_URL": database}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(20):
        while await connection.fetchval("SELECT to_regclass('transactions_draining') IS NULL"):
            pass
        process.terminate()
        _, said = await process.communicate()
    assert (process.returncode, said) == (1, b"Aborted!\n")
    assert await connection.fetchval("SELECT to_regclass('transactions_draining') IS NULL")
    triggers = "SELECT tgname FROM pg_trigger WHERE tgname LIKE 'follow%'"
    assert not await connection.fetch(triggers)
    assert await by_partition(connection) == {"transactions_default": 100_000}


async def test_rows_are_not_removed_unseen_by_an_older_transaction(
    connection: asyncpg.Connection, database: str
) -> None:
    """It would not see the copy that has to go as well."""
    await fill(connection, "2018-04-01Z", 1000, "1 minute")
    async with months.connected(database) as older, older.transaction(isolation="repeatable_read"):
        assert await older.fetchval("SELECT 1") == 1  # its snapshot
        async with aclosing(drain(connection, 1)) as batches:
            await anext(batches)
            with pytest.raises(asyncpg.SerializationError, match="is being drained"):
                await older.execute("DELETE FROM transactions")


async def test_copies_follow_what_happens_to_the_rows(connection: asyncpg.Connection, database: str) -> None:
    """Whoever writes needs no rights on the copies, and whoever drains is not whose they are."""
    await fill(connection, "2018-04-01Z", 1000, "1 minute")
    await connection.execute(  # other legs of two that are deleted: the same id and date, and another user
        "INSERT INTO transactions SELECT id, gen_random_uuid(), 1, 'INR', txn_date, 'leg', meta_data"
        " FROM transactions WHERE txn_date IN ('2018-04-01 01:42Z', '2018-04-01 01:49Z')"
    )
    role, owner = f"writer_{uuid4().hex}", f"owner_{uuid4().hex}"
    await connection.execute(
        f"""
        CREATE ROLE {role}; CREATE ROLE {owner}; GRANT ALL ON transactions TO {role};
        ALTER TABLE transactions OWNER TO {owner}; ALTER TABLE transactions_default OWNER TO {owner};
        ALTER VIEW transactions_months OWNER TO {owner}; GRANT CREATE ON SCHEMA public TO {owner};
        ALTER FUNCTION follow_transactions_default OWNER TO {owner}
        """
    )
    try:
        async with months.connected(database) as writer, aclosing(drain(connection, 1)) as batches:
            await writer.execute(f"SET ROLE {role}")
            for page in (0, 7):  # rows that are copied, and rows that are not yet
                while (await anext(batches)).pages <= page:
                    pass
                await fill(writer, f"2018-05-0{page + 1}Z", 1)
                for row in (100, 900):
                    date = f"2018-04-01 {(row + page) // 60:02}:{(row + page) % 60:02}Z"
                    await writer.execute(
                        "UPDATE transactions SET status = 'changed' WHERE txn_date = $1::text::timestamptz",
                        date,
                    )
                    await writer.execute(
                        "UPDATE transactions SET txn_date = txn_date + '30 days'"
                        " WHERE txn_date = $1::text::timestamptz + interval '1 minute'", date
                    )  # fmt: skip
                    await writer.execute(
                        "DELETE FROM transactions"
                        " WHERE txn_date = $1::text::timestamptz + interval '2 minutes'"
                        " AND status <> 'leg'", date
                    )  # fmt: skip
            before = sorted(await connection.fetch("SELECT * FROM transactions"))
            [_ async for _ in batches]
        assert sorted(await connection.fetch("SELECT * FROM transactions")) == before
        assert [row["status"] for row in before].count("changed") == 4
        assert len(before) == 1000 + 2 + 2 - 4
        assert not (await by_partition(connection)).get("transactions_default")
        owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE tablename LIKE 'transactions%'"
        owners += " AND tablename NOT IN ('transactions_replaced', 'transactions_gone')"
        assert [row[0] for row in await connection.fetch(owners)] == [owner]
    finally:
        await connection.execute(f"DROP OWNED BY {role}, {owner} CASCADE; DROP ROLE {role}, {owner}")


async def test_rows_that_are_all_taken_away_meanwhile_do_not_come_back(
    connection: asyncpg.Connection, database: str
) -> None:
    await fill(connection, "2018-04-01Z", 1000)
    async with months.connected(database) as other, aclosing(drain(connection, 1)) as batches:
        await anext(batches)
        await other.execute("TRUNCATE transactions")
        [_ async for _ in batches]
    assert await by_partition(connection) == {}


async def test_a_month_that_is_there_in_part_is_completed(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "CREATE TABLE ten_days PARTITION OF transactions FOR VALUES FROM ('2018-04-10Z') TO ('2018-04-20Z')"
    )
    await fill(connection, "2018-04-01Z", 30, "1 day")
    assert await drained(connection) == 20
    assert await by_partition(connection) == {
        "ten_days": 10, "transactions_2018_04": 9, "transactions_2018_04_20": 11
    }  # fmt: skip


async def test_one_at_a_time(connection: asyncpg.Connection, database: str) -> None:
    await fill(connection, "2018-04-01Z", 1000)
    async with months.connected(database) as other, aclosing(drain(connection, 1)) as batches:
        await anext(batches)
        assert await months.ensure(other, 3) == []
        with pytest.raises(BusyError):
            await anext(drain(other, 1))
    assert len(await months.ensure(connection, 3)) == 4


async def test_no_month_is_made_while_the_default_partition_is_large(
    connection: asyncpg.Connection, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    await connection.execute(
        """
        INSERT INTO transactions
        SELECT gen_random_uuid(), $1, 1, 'INR', '2018-04-01Z'::timestamptz, 'paid',
               jsonb_build_object('x', repeat('x', 1850))
        FROM generate_series(1, 35000)
        """, USER
    )  # fmt: skip
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match=r"default partition holds \d+ MB"):
        await months.ensure(connection, 1)
    assert await months_looked_after(api_settings(database), Outage("months"))
    assert "as the default partition holds 6" in caplog.text
    await connection.execute("CREATE TABLE kept AS SELECT * FROM transactions")
    await connection.execute("DELETE FROM transactions")
    assert len(await months.ensure(connection, 0)) == 1  # large, and empty
    await connection.execute("INSERT INTO transactions SELECT * FROM kept")
    assert await drained(connection, 1000) == 35000
    assert len(await months.ensure(connection, 1)) == 1
    assert await months.ensure(connection, 1) == []


@pytest.mark.parametrize("count", [70, pytest.param(1500, marks=pytest.mark.slow)])
async def test_more_months_than_fit_into_a_transaction(connection: asyncpg.Connection, count: int) -> None:
    """A transaction can lock some thousand tables in all: each replacement makes a few of the months."""
    await fill(connection, "1900-01-01Z", count, "1 month")
    async with aclosing(drain(connection, 1000)) as batches:
        made = [len(await names(connection)) async for _ in batches]
    assert max(after - before for before, after in pairwise([*made, count])) <= 60
    assert len(await names(connection)) == count
    assert await by_partition(connection) == dict.fromkeys(await names(connection), 1)


async def test_the_first_and_the_last_month_that_there_are_drain_too(connection: asyncpg.Connection) -> None:
    await fill(connection, "0001-01-01 00:00:00Z", 2)
    await fill(connection, "9999-12-31 23:59:59.999999Z", 1)
    assert await drained(connection) == 3
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
        try:
            moved = await drained(connection)
        finally:
            stop.set()
    assert looking.result() > 10
    assert moved >= 3000
    assert sum((await by_partition(connection)).values()) == 3000 + inserting.result()


async def test_old_months_are_dropped_and_no_others(connection: asyncpg.Connection) -> None:
    await fill(connection, "2018-04-01Z", 100, "1 day")
    await drained(connection)
    await months.ensure(connection, 0)
    await fill(connection, "2018-01-01Z", 1)  # in the default partition: never dropped
    await connection.execute("INSERT INTO sink_offsets VALUES ('transactions', 0, 1, 7, 'txnwatch')")
    for date in ("2018-05-01", "2199-01-01"):
        replaced = (
            "INSERT INTO transactions_replaced SELECT (json_populate_record(NULL::transactions_replaced,"
        )
        replaced += " to_json(t))).* FROM transactions_default AS t"
        await connection.execute(replaced)
        await connection.execute(
            "UPDATE transactions_replaced SET txn_date = $1::text::date WHERE txn_date < '2018-02-01'", date
        )
    assert await months.drop(connection, 12_000, "ann") == []
    assert await connection.fetchval("SELECT kept_from FROM sink_offsets") == 0
    assert await months.drop(connection, 2, "ann") == [f"transactions_2018_0{n}" for n in (4, 5, 6, 7)]
    noted = await connection.fetch("SELECT who, what, whom FROM access_log")
    dropped = ", ".join(f"transactions_2018_0{n}" for n in (4, 5, 6, 7))
    assert [*map(tuple, noted)] == [("ann", "months dropped", dropped)]
    assert await by_partition(connection) == {"transactions_default": 1}
    assert len(await names(connection)) == 1
    dates = "SELECT txn_date::date::text FROM transactions_replaced"
    assert [row["txn_date"] for row in await connection.fetch(dates)] == ["2199-01-01"]
    assert await connection.fetchval("SELECT kept_from FROM sink_offsets") == 7
    with pytest.raises(asyncpg.RaiseError, match="keep at least 1 month"):
        await months.drop(connection, 0, "ann")


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_range_reads_its_months_alone(connection: asyncpg.Connection, mode: str) -> None:
    await fill(connection, "2018-01-01Z", 365, "1 day")
    await drained(connection)
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

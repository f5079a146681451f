"""`txnwatch migrate` against a real Postgres."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from click.testing import CliRunner

from infra.embedded.cluster import Addresses
from infra.migrate import FOLDER, MigrationError, migrate, migrate_command, read
from tests.support.services import empty_database


@pytest.fixture
async def blank(services: Addresses) -> AsyncIterator[str]:
    """The URL of a database without a schema."""
    async with empty_database(services.postgres) as url:
        yield url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two migrations of which the second needs the first."""
    (tmp_path / "001_first.sql").write_text("CREATE TABLE one (x integer);")
    (tmp_path / "002_second.sql").write_text("ALTER TABLE one ADD y text; INSERT INTO one VALUES (1, 'a');")
    return tmp_path


async def fetch(url: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def tables(url: str) -> set[str]:
    return {
        row["tablename"]
        for row in await fetch(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    }


async def test_the_projects_own_migrations_make_its_tables(blank: str) -> None:
    applied = await migrate(blank, by="ann")

    noted = await fetch(blank, "SELECT who, what, whom FROM access_log")
    assert [*map(tuple, noted)] == [("ann", "schema migrated", ", ".join(applied))]
    assert await migrate(blank, by="ann") == []
    assert len(await fetch(blank, "SELECT FROM access_log")) == 1
    assert applied == [migration.name for migration in read(FOLDER)]
    assert {"transactions", "users", "sink_offsets"} <= await tables(blank)


async def test_the_second_run_applies_nothing(blank: str) -> None:
    first = await migrate(blank)

    assert first
    assert await migrate(blank) == []


async def test_files_are_applied_in_the_order_of_their_numbers(blank: str, folder: Path) -> None:
    assert await migrate(blank, folder) == ["001_first.sql", "002_second.sql"]
    assert [tuple(row) for row in await fetch(blank, "SELECT x, y FROM one")] == [(1, "a")]


async def test_runs_side_by_side_apply_each_file_once(blank: str, folder: Path) -> None:
    runs = await asyncio.gather(*(migrate(blank, folder) for _ in range(5)))

    assert sorted(name for run in runs for name in run) == ["001_first.sql", "002_second.sql"]
    assert len(await fetch(blank, "SELECT * FROM one")) == 1


async def test_a_later_file_is_applied_to_a_database_that_has_the_earlier_ones(
    blank: str, folder: Path
) -> None:
    await migrate(blank, folder)
    (folder / "003_third.sql").write_text("CREATE TABLE three ();")

    assert await migrate(blank, folder) == ["003_third.sql"]


async def test_an_applied_file_that_was_edited_since_is_an_error_and_nothing_else_is_applied(
    blank: str, folder: Path
) -> None:
    await migrate(blank, folder)
    (folder / "001_first.sql").write_text("CREATE TABLE one (x bigint);")
    (folder / "003_third.sql").write_text("CREATE TABLE three ();")

    with pytest.raises(MigrationError, match=r"edited after it was applied: 001_first\.sql"):
        await migrate(blank, folder)

    assert "three" not in await tables(blank)


async def test_a_file_that_fails_leaves_nothing_of_itself_and_all_that_came_before(
    blank: str, folder: Path
) -> None:
    (folder / "003_third.sql").write_text("CREATE TABLE three (); SELECT 1/0;")

    with pytest.raises(MigrationError, match=r"003_third\.sql: division by zero"):
        await migrate(blank, folder)

    assert "one" in await tables(blank)
    assert "three" not in await tables(blank)


async def test_a_failed_run_does_not_keep_the_next_one_waiting(blank: str, folder: Path) -> None:
    (folder / "003_third.sql").write_text("SELECT 1/0;")
    with pytest.raises(MigrationError):
        await migrate(blank, folder)
    (folder / "003_third.sql").write_text("SELECT 1;")

    assert await asyncio.wait_for(migrate(blank, folder), 10) == ["003_third.sql"]


def test_a_file_whose_name_says_no_place_is_an_error(folder: Path) -> None:
    (folder / "later.sql").write_text("SELECT 1;")

    with pytest.raises(MigrationError, match=r"not named NNN_name\.sql: later\.sql"):
        read(folder)


def test_two_files_of_one_number_are_an_error(folder: Path) -> None:
    (folder / "002_other.sql").write_text("SELECT 1;")

    with pytest.raises(MigrationError, match="same number"):
        read(folder)


def test_the_command_says_that_nothing_is_left_to_apply(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_URL", database)

    result = CliRunner().invoke(migrate_command)

    assert (result.exit_code, result.output) == (0, "nothing to apply\n")


def test_the_command_does_not_print_the_password_of_a_server_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POSTGRES_URL", "postgresql://someone:s3cret@127.0.0.1:1/txnwatch")

    result = CliRunner().invoke(migrate_command)

    assert result.exit_code == 1
    assert "Error: Postgres (POSTGRES_URL): " in result.output
    assert "s3cret" not in result.output


async def test_rows_that_were_known_by_id_and_date_are_kept_when_the_user_joins_the_key(
    blank: str, tmp_path: Path
) -> None:
    """Months, a draining that was cut short, and a key that was built beforehand are there."""
    before = [path for path in sorted(FOLDER.glob("*.sql")) if path.name < "005"]
    for path in before:
        (tmp_path / path.name).write_text(path.read_text())
    await migrate(blank, tmp_path)
    draining = FOLDER.parent / "partitions" / "draining" / "begin.sql"
    await fetch(blank, "SELECT make_transactions_months(1)")
    await execute(
        blank,
        """
        INSERT INTO transactions
        SELECT gen_random_uuid(), gen_random_uuid(), 1, 'INR', date, 'paid', '{"is_anomaly": true}'
        FROM unnest(ARRAY['2018-04-01Z'::timestamptz, now()]) AS date
        """,
        draining.read_text(),
        "CREATE UNIQUE INDEX transactions_default_id_date_user"
        " ON transactions_default (id, txn_date, user_id)",
    )

    applied = await migrate(blank)

    assert applied[0] == "005_user_in_key.sql"
    keys = await fetch(
        blank,
        "SELECT count(*), min(pg_get_constraintdef(oid)), max(pg_get_constraintdef(oid)) FROM pg_constraint"
        " WHERE contype = 'p' AND conrelid::regclass::text LIKE 'transactions%'",
    )
    whole = "PRIMARY KEY (id, txn_date, user_id)"
    assert [tuple(key) for key in keys] == [(4, whole, whole)]  # the table's, two months', the default's
    assert not [name for name in await tables(blank) if "draining" in name or "rest" in name]
    other = "INSERT INTO transactions SELECT id, gen_random_uuid(), 2, 'INR', txn_date, status, meta_data"
    await execute(blank, f"{other} FROM transactions", "SELECT make_transactions_months(3)")
    assert [row[0] for row in await fetch(blank, "SELECT count(*) FROM transactions")] == [4]


_MANY = """
INSERT INTO transactions
SELECT gen_random_uuid(), gen_random_uuid(), 1, 'INR', '2018-04-01Z', 'paid', '{"is_anomaly": false}'
FROM generate_series(1, $1)
"""


async def test_the_key_gets_the_user_while_rows_are_written(blank: str, tmp_path: Path) -> None:
    for path in sorted(FOLDER.glob("*.sql")):
        if path.name < "005":
            (tmp_path / path.name).write_text(path.read_text())
    await migrate(blank, tmp_path)
    (tmp_path / "005_user_in_key.sql").write_text((FOLDER / "005_user_in_key.sql").read_text())
    done, written = asyncio.Event(), 0

    async def write() -> None:
        nonlocal written
        connection = await asyncpg.connect(blank)
        while not done.is_set():
            async with connection.transaction():
                await connection.execute(_MANY, 3)
            written += 3
        await connection.close()

    connection = await asyncpg.connect(blank)
    await connection.execute(_MANY, 60_000)
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(write())
        applied = await migrate(blank, tmp_path)
        done.set()

    assert applied == ["005_user_in_key.sql"]
    assert await connection.fetchval("SELECT count(*) FROM transactions") == 60_000 + written
    await connection.close()


async def test_optional_fields_get_columns_while_rows_are_written_and_behind_a_long_query(
    blank: str, tmp_path: Path
) -> None:
    """The columns wait for the query's end, and nobody behind them."""
    for path in sorted(FOLDER.glob("*.sql")):
        if path.name < "007":
            (tmp_path / path.name).write_text(path.read_text())
    await migrate(blank, tmp_path)
    await fetch(blank, "SELECT make_transactions_months(1)")
    await execute(blank, (FOLDER.parent / "partitions" / "draining" / "begin.sql").read_text())
    name = "007_optional_fields.sql"
    (tmp_path / name).write_text((FOLDER / name).read_text())
    waits = []
    reader, writer = await asyncpg.connect(blank), await asyncpg.connect(blank, command_timeout=10)
    query = reader.transaction()
    await query.start()
    await reader.fetch("SELECT FROM transactions")

    migrating = asyncio.create_task(migrate(blank, tmp_path))
    while not migrating.done():
        began = time.monotonic()
        await writer.execute(_MANY, 1)
        waits.append(time.monotonic() - began)
        if waits[-1] > 0.15 and reader.is_in_transaction():  # it has asked for the table
            await query.rollback()

    assert await migrating == [name]
    await execute(blank, f"{_MANY.replace('$1', '3')}; SELECT make_transactions_months(3)")
    columns = "SELECT merchant_id, card_id, country, channel FROM transactions"
    assert {tuple(row) for row in await fetch(blank, columns)} == {(None,) * 4}
    assert len(await fetch(blank, columns)) == len(waits) + 3
    assert "transactions_draining" not in await tables(blank)
    await reader.close()
    await writer.close()

"""Which databases are refused, and in which words: by the worker, the API and the commands alike."""

import asyncio
import os
import shutil
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from api.reading.database import Database
from api.settings import Settings as ApiSettings
from api.web.problems import Unavailable
from infra.embedded.cluster import Addresses
from infra.migrate import FOLDER, MigrationError, migrate, read
from infra.runtime.postgres import DatabaseError, is_transient, reason
from stream_app.sinks.postgres import LIMITS, PostgresRows, TakenOver, connect
from tests.support.installation import until
from tests.support.services import empty_database, free_port

PGBOUNCER = shutil.which("pgbouncer")
NEWER = "999_of_tomorrow.sql"


async def execute(url: str, *statements: str, values: Sequence[str] = ()) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement, *values)
    finally:
        await connection.close()


def with_user(url: str, user: str) -> str:
    """The URL with another user, who needs no password."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}@{host}").geturl()


async def refused_by_the_worker(url: str) -> str:
    async with connect(url) as pool:
        with pytest.raises((DatabaseError, asyncpg.ProtocolViolationError)) as refused:
            await PostgresRows(pool, "transactions", app_id="txnwatch", retry_seconds=5).claim()
    return str(refused.value)


async def refused_by_the_api(url: str) -> str:
    async with Database(ApiSettings.load(postgres=url)) as database:
        with pytest.raises(Unavailable) as refused:
            await database.check()
    return refused.value.detail


async def test_a_database_without_tables(services: Addresses) -> None:
    async with empty_database(services.postgres) as url:
        for refused in (await refused_by_the_worker(url), await refused_by_the_api(url)):
            assert "has no tables of ours: run `txnwatch migrate`" in refused


async def test_an_older_database_names_what_it_lacks(database: str) -> None:
    last = read(FOLDER)[-1].name
    await execute(database, "DELETE FROM schema_migrations WHERE name = $1", values=[last])

    for refused in (await refused_by_the_worker(database), await refused_by_the_api(database)):
        assert f"it is older than this program, without {last}: run `txnwatch migrate`" in refused


async def test_a_newer_database_is_refused_by_every_program(database: str) -> None:
    await execute(database, "INSERT INTO schema_migrations (name, sha256) VALUES ($1, '')", values=[NEWER])

    for refused in (await refused_by_the_worker(database), await refused_by_the_api(database)):
        assert f"it is newer than this program, with {NEWER}: upgrade the program" in refused
    with pytest.raises(MigrationError, match=f"newer than this program, with {NEWER}"):
        await migrate(database)


async def test_a_user_without_a_right_is_told_which(database: str) -> None:
    await execute(
        database,
        "DROP ROLE IF EXISTS txnwatch_reader",
        "CREATE ROLE txnwatch_reader LOGIN",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO txnwatch_reader",
    )
    url = with_user(database, "txnwatch_reader")
    try:
        refused = await refused_by_the_worker(url)
        assert "lacks INSERT on transactions, UPDATE on transactions, INSERT on users" in refused
        async with Database(ApiSettings.load(postgres=url)) as reading:
            await reading.check()
    finally:
        await execute(database, "DROP OWNED BY txnwatch_reader", "DROP ROLE txnwatch_reader")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_cannot_keep_every_text(services: Addresses, encoding: str) -> None:
    name = f"in_{encoding.lower()}"
    made = f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
    await execute(services.postgres, f"DROP DATABASE IF EXISTS {name}", made)
    url = urlsplit(services.postgres)._replace(path=f"/{name}").geturl()
    try:
        with pytest.raises(DatabaseError, match=f"its encoding is {encoding}: make the database with"):
            await migrate(url)
        assert f"its encoding is {encoding}" in await refused_by_the_worker(url)
        assert f"its encoding is {encoding}" in await refused_by_the_api(url)
    finally:
        await execute(services.postgres, f"DROP DATABASE {name}")


@pytest.fixture(params=["parameters refused", "parameters ignored"])
async def pooled(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The URL of the database behind a PgBouncer that pools transactions."""
    if PGBOUNCER is None:
        pytest.skip("pgbouncer is not installed")
    parts, port = urlsplit(database), free_port()
    host = parse_qs(parts.query).get("host", [parts.hostname])[0]
    name, user = parts.path.strip("/"), parts.username
    config = tmp_path / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n{name} = host={host} port={parts.port or 5432} user={user}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        "pool_mode = transaction\nauth_type = any\n"
        + (f"ignore_startup_parameters = {', '.join(LIMITS)}\n" if "ignored" in request.param else "")
    )
    command = [PGBOUNCER, *(["-u", "nobody"] if os.geteuid() == 0 else []), str(config)]
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL)
    try:
        await until(partial(listens, port))
        yield f"postgresql://{user}@127.0.0.1:{port}/{name}"
    finally:
        process.terminate()
        await process.wait()


async def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_a_pooler_between_is_named(pooled: str) -> None:
    with pytest.raises((DatabaseError, asyncpg.ProtocolViolationError)) as refused:
        await migrate(pooled)

    assert not is_transient(refused.value)
    assert "a pooler such as PgBouncer is between" in (reason(refused.value) or str(refused.value))
    assert "a pooler such as PgBouncer is between" in await refused_by_the_api(pooled)
    await refused_by_the_worker(pooled)


async def test_a_sink_outlives_a_time_in_which_postgres_is_read_only(database: str) -> None:
    """As after a failover: sessions with the former primary stay read-only for as long as they last."""
    name = urlsplit(database).path.strip("/")
    async with connect(database) as pool:
        sink = PostgresRows(pool, "transactions", app_id="txnwatch", retry_seconds=30)
        await execute(database, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await pool.execute("SELECT")  # a session is open, and read-only
        taking_over = asyncio.create_task(sink.take_over(0))
        await asyncio.wait([taking_over], timeout=0.3)
        assert not taking_over.done()
        await execute(database, "SET default_transaction_read_only = off", f"ALTER DATABASE {name} RESET ALL")

        assert await taking_over == TakenOver(1, 0)

"""The months of the transactions table, as the running application looks after them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from pydantic import SecretStr

from api.partitions import months_looked_after
from api.settings import Settings
from infra.runtime.retry import Outage
from tests.support.serving import PATIENCE, changed, serving, settings_from

THIS_AND_TWO_MORE = """
SELECT to_char(
    date_trunc('month', now() AT TIME ZONE 'UTC') + n * interval '1 month', '"transactions_"YYYY_MM'
)
FROM generate_series(0, 2) AS n"""


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    one = await asyncpg.connect(database)
    yield one
    await one.close()


async def names(connection: asyncpg.Connection, statement: str) -> list[str]:
    return [name for [name] in await connection.fetch(statement)]


async def until_there_are_months_ahead(connection: asyncpg.Connection) -> None:
    """Returns when there are this month and the two after it, and no others."""
    async with asyncio.timeout(PATIENCE):
        while (  # noqa: ASYNC110 - it is on the other side of Postgres
            await names(connection, "SELECT name FROM transactions_months ORDER BY starts")
            != await names(connection, THIS_AND_TWO_MORE)
        ):
            await asyncio.sleep(0.02)


async def test_months_are_made_ahead_by_the_application_itself(
    pages_settings: Settings, connection: asyncpg.Connection
) -> None:
    assert not await names(connection, "SELECT name FROM transactions_months")
    async with serving(pages_settings, months_ahead=2):
        await until_there_are_months_ahead(connection)


async def test_a_month_goes_when_it_is_older_than_what_is_retained(
    pages_settings: Settings, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "CREATE TABLE transactions_2018_04 PARTITION OF transactions"
        " FOR VALUES FROM ('2018-04-01Z') TO ('2018-05-01Z')"
    )
    async with serving(pages_settings, months_ahead=2, retention_months=1):
        await until_there_are_months_ahead(connection)


async def test_months_are_looked_after_again_and_again(
    pages_settings: Settings, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.partitions._EVERY_SECONDS", 0.05)
    async with serving(pages_settings, months_ahead=2):
        for _ in range(2):
            await until_there_are_months_ahead(connection)
            newest = (await names(connection, THIS_AND_TWO_MORE))[-1]
            await connection.execute(f"DROP TABLE {newest}")
        await until_there_are_months_ahead(connection)


@asynccontextmanager
async def freezing(url: str, at: bytes) -> AsyncIterator[str]:
    """A server before this one that passes everything on, until a client sends these bytes; then nothing."""
    there, frozen = urlsplit(url), asyncio.Event()
    folders = parse_qs(there.query).get("host")

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (data := await reader.read(1 << 16)) and not frozen.is_set():
            if at in data:
                frozen.set()
            else:
                writer.write(data)
        await asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind = await (
            asyncio.open_unix_connection(f"{folders[0]}/.s.PGSQL.{there.port or 5432}")
            if folders
            else asyncio.open_connection(there.hostname, there.port)
        )
        with suppress(asyncio.CancelledError), closing(writer), closing(behind):
            await asyncio.gather(copy(reader, behind), copy(behind_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1")
    [one] = server.sockets
    try:
        yield f"postgresql://{there.username}@127.0.0.1:{one.getsockname()[1]}{there.path}"
    finally:
        server.close()


@pytest.mark.parametrize("statement", ["make_transactions_months", "lock_timeout"])
async def test_a_database_that_freezes_holds_nothing_up(
    pages_settings: Settings, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with freezing(pages_settings.postgres.get_secret_value(), statement.encode()) as url:
        settings = changed(pages_settings, postgres=SecretStr(url), dependency_seconds=0.2)
        async with asyncio.timeout(PATIENCE):
            assert not await months_looked_after(settings, Outage("months"))
    assert caplog.messages == ["months: TimeoutError; trying again"]


async def test_a_database_that_accepts_and_never_answers_is_given_up_in_time() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await reader.read()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        address = "{}:{}".format(*server.sockets[0].getsockname())
        settings = settings_from({"POSTGRES_URL": f"postgresql://{address}/t"}, dependency_seconds=0.5)
        async with asyncio.timeout(settings.dependency_seconds * 5):
            assert not await months_looked_after(settings, Outage("months"))

"""The months of the transactions table, as the running application looks after them."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from api.settings import Settings
from tests.support.serving import PATIENCE, serving

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

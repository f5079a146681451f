"""Another app's rows and windows are left alone: who comes second is refused by name, unless it shares."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from infra.runtime.redis import ForeignMirrorError, Keys
from stream_app.commands.rebuild_mirror import rebuild
from stream_app.settings import Settings
from stream_app.sinks.owners import SharedRowsError
from stream_app.sinks.postgres import TAKE_OVER, PostgresRows, TakenOver, connect
from tests.support.installation import Installation

TOPIC = "transactions"


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with connect(database) as pool:
        yield pool


def sink(pool: asyncpg.Pool, app_id: str, *, share_rows: bool = False) -> PostgresRows:
    return PostgresRows(pool, TOPIC, app_id=app_id, share_rows=share_rows, retry_seconds=5)


async def test_a_second_app_is_refused_by_name_and_the_first_goes_on(pool: asyncpg.Pool) -> None:
    first = sink(pool, "first")
    await first.claim()
    await first.take_over(3)

    with pytest.raises(SharedRowsError, match=r"those of TXNWATCH_APP_ID first, not of second"):
        await sink(pool, "second").claim()

    await first.claim()
    assert await first.take_over(3) == TakenOver(2, 0)


async def test_apps_that_share_rows_have_epochs_and_offsets_of_their_own(pool: asyncpg.Pool) -> None:
    first, second = sink(pool, "first"), sink(pool, "second", share_rows=True)
    for one in (first, second):
        await one.claim()
    epoch = (await first.take_over(0)).epoch
    await second.take_over(0)
    await second.take_over(0)

    await first.write(0, epoch, [], 7)

    assert await sink(pool, "first").take_over(0) == TakenOver(2, 7)
    assert await second.take_over(0) == TakenOver(3, 0)


async def test_of_two_apps_that_come_at_once_one_is_refused(pool: asyncpg.Pool) -> None:
    apps = [sink(pool, f"app-{number}") for number in range(8)]

    done = await asyncio.gather(*(app.claim() for app in apps), return_exceptions=True)

    assert sorted(type(one).__name__ for one in done) == ["NoneType"] + ["SharedRowsError"] * 7


async def test_offsets_of_before_apps_had_names_are_those_of_the_worker_of_their_topic(
    pool: asyncpg.Pool,
) -> None:
    rows = [("", TOPIC, 0, 5, 17), ("", TOPIC, 1, 2, 3), ("", "elsewhere", 0, 1, 9)]
    await pool.executemany("INSERT INTO sink_offsets VALUES ($2, $3, $4, $5, $1)", rows)

    await sink(pool, "ours").claim()
    assert await sink(pool, "ours").take_over(0) == TakenOver(6, 17)

    assert await pool.fetchval("SELECT count(*) FROM sink_offsets WHERE app_id = 'ours'") == 2
    with pytest.raises(SharedRowsError, match="ours, the app of elsewhere"):
        await sink(pool, "another").claim()


async def theirs(redis_url: str, prefix: str = "") -> None:
    async with Redis.from_url(redis_url) as redis:
        await redis.hset(Keys(prefix).owner, mapping={"app_id": "theirs", "format": "1"})


async def test_what_a_take_over_needs_of_postgres_is_one_statement(database: str) -> None:
    asked: list[str] = []

    async def watched(connection: asyncpg.Connection) -> None:
        connection.add_query_logger(lambda query: asked.append(query.query))

    async with asyncpg.create_pool(database, min_size=1, max_size=1, init=watched) as pool:
        ours = sink(pool, "ours")
        await ours.take_over(1)
        await ours.remember(1, b"these topics")
        asked.clear()

        assert await ours.take_over(1) == TakenOver(2, 0, b"these topics")

    assert [one for one in asked if "sink_offsets" in one] == [TAKE_OVER]


async def test_the_api_says_in_one_line_whose_the_windows_are(redis_url: str) -> None:
    await theirs(redis_url, "eu:")
    variables = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "TXNWATCH_TRANSACTIONS_TOPIC": TOPIC}
    eu = Installation({**variables, "REDIS_URL": redis_url, "TXNWATCH_REDIS_PREFIX": "eu:"})

    code, said = await eu.completed("txnwatch", "api")

    assert code == 1
    assert "those of TXNWATCH_APP_ID theirs, not of txnwatch" in said.splitlines()[-1]


async def test_rebuilding_refuses_another_apps_windows(redis_url: str) -> None:
    await theirs(redis_url)

    with pytest.raises(ForeignMirrorError, match="those of TXNWATCH_APP_ID theirs, not of ours"):
        await rebuild(Settings(redis=SecretStr(redis_url), app_id="ours", sinks="redis"))

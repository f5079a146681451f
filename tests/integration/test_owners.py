"""Another app's rows and windows are left alone: who comes second is refused by name, unless it shares."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from infra.runtime.redis import ForeignMirrorError, Keys
from stream_app.commands.rebuild_mirror import rebuild
from stream_app.settings import Settings
from stream_app.sinks.owners import SharedRowsError, check_stores, claim_rows
from stream_app.sinks.postgres import PostgresRows, connect
from tests.support.installation import Installation

TOPIC = "transactions"


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with connect(database) as pool:
        yield pool


def sink(pool: asyncpg.Pool, app_id: str, *, share_rows: bool = False) -> PostgresRows:
    return PostgresRows(pool, TOPIC, app_id=app_id, share_rows=share_rows, retry_seconds=5)


async def test_a_second_app_is_refused_by_name_and_the_first_goes_on(pool: asyncpg.Pool) -> None:
    await sink(pool, "first").take_over(3)

    with pytest.raises(SharedRowsError, match=r"those of TXNWATCH_APP_ID first, not of second"):
        await sink(pool, "second").take_over(3)

    assert await sink(pool, "first").take_over(3) == (2, 0)


async def test_apps_that_share_rows_have_epochs_and_offsets_of_their_own(pool: asyncpg.Pool) -> None:
    first, second = sink(pool, "first"), sink(pool, "second", share_rows=True)
    epoch, _ = await first.take_over(0)
    await second.take_over(0)
    await second.take_over(0)

    await first.write(0, epoch, [], 7)

    assert await sink(pool, "first").take_over(0) == (2, 7)
    assert await second.take_over(0) == (3, 0)


async def test_of_two_apps_that_come_at_once_one_is_refused(pool: asyncpg.Pool) -> None:
    apps = [sink(pool, f"app-{number}") for number in range(8)]

    done = await asyncio.gather(*(app.take_over(0) for app in apps), return_exceptions=True)

    assert sorted(type(one).__name__ for one in done) == ["SharedRowsError"] * 7 + ["tuple"]


async def test_offsets_of_before_apps_had_names_are_those_of_the_worker_of_their_topic(
    pool: asyncpg.Pool,
) -> None:
    rows = [("", TOPIC, 0, 5, 17), ("", TOPIC, 1, 2, 3), ("", "elsewhere", 0, 1, 9)]
    await pool.executemany("INSERT INTO sink_offsets VALUES ($2, $3, $4, $5, $1)", rows)

    assert await sink(pool, "ours").take_over(0) == (6, 17)

    assert await pool.fetchval("SELECT count(*) FROM sink_offsets WHERE app_id = 'ours'") == 2
    with pytest.raises(SharedRowsError, match="ours, the app of elsewhere"):
        await sink(pool, "another").take_over(0)


async def theirs(redis_url: str, prefix: str = "") -> None:
    async with Redis.from_url(redis_url) as redis:
        await redis.hset(Keys(prefix).owner, mapping={"app_id": "theirs", "format": "1"})


async def refused(installation: Installation, *command: str) -> str:
    """The one line that the command ended with."""
    code, said = await installation.completed("txnwatch", *command)
    assert code == 1
    [line] = said.splitlines()
    return line


async def test_a_worker_says_in_one_line_whose_the_rows_are(environment: dict[str, str]) -> None:
    installation = Installation(environment)
    async with installation.postgres() as connection:
        await claim_rows(connection, "theirs", TOPIC, shared=False)

    line = await refused(installation, "worker")

    assert f"those of TXNWATCH_APP_ID theirs, not of {environment['TXNWATCH_APP_ID']}" in line


async def test_the_api_says_in_one_line_whose_the_windows_are(redis_url: str) -> None:
    await theirs(redis_url, "eu:")
    variables = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "TXNWATCH_TRANSACTIONS_TOPIC": TOPIC}
    eu = Installation({**variables, "REDIS_URL": redis_url, "TXNWATCH_REDIS_PREFIX": "eu:"})

    assert "those of TXNWATCH_APP_ID theirs, not of txnwatch" in await refused(eu, "api")


@pytest.mark.parametrize("program", [check_stores, rebuild])
async def test_workers_and_rebuilding_refuse_another_apps_windows(
    redis_url: str, program: Callable[[Settings], Awaitable[object]]
) -> None:
    await theirs(redis_url)

    with pytest.raises(ForeignMirrorError, match="those of TXNWATCH_APP_ID theirs, not of ours"):
        await program(Settings(redis=SecretStr(redis_url), app_id="ours", sinks="redis"))

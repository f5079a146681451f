import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from api.reading.cache import QueryCache
from api.settings import Settings
from tests.support.rows import FLAG, START, made, store, user
from tests.support.serving import counted, serving, settings_from

ALICE, BOB = user(1), user(2)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator["Redis"]:
    async with Redis.from_url(redis_url) as one:
        yield one


def cache_of(redis: "Redis", counts: Counter[str], *, scope: str = "a", key: bytes = b"k") -> QueryCache:
    return QueryCache(
        redis,
        settings_from({}, app_id=scope, query_cache_seconds=60, query_cache_closed_seconds=600),
        key=key,
        count=lambda outcome: counts.update([outcome]),
    )


def answering(text: bytes) -> Callable[[], Awaitable[bytes]]:
    async def answer() -> bytes:
        return text

    return answer


async def unasked() -> bytes:
    raise AssertionError("it was in the cache")


async def test_an_answer_is_kept_for_the_same_question(redis: "Redis") -> None:
    counts: Counter[str] = Counter()
    cache = cache_of(redis, counts)
    assert await cache.answer({"a": 1, "b": START}, answering(b"one")) == b"one"
    assert await cache.answer({"b": START, "a": 1}, unasked) == b"one"
    assert counts == {"miss": 1, "hit": 1}
    [name] = await redis.keys("query:*")
    assert 0 < await redis.pttl(name) <= 60_000


async def test_an_answer_of_another_format_is_not_found(
    redis: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = cache_of(redis, Counter())
    await cache.answer(["q"], answering(b"former"))
    monkeypatch.setattr("api.reading.cache._FORMAT", 0)
    assert await cache.answer(["q"], answering(b"present")) == b"present"


async def test_another_question_installation_or_key_has_another_answer(redis: "Redis") -> None:
    counts: Counter[str] = Counter()
    await cache_of(redis, counts).answer(["q", 1], answering(b"one"))
    assert await cache_of(redis, counts).answer(["q", "1"], answering(b"two")) == b"two"
    assert await cache_of(redis, counts, scope="b").answer(["q", 1], answering(b"three")) == b"three"
    assert await cache_of(redis, counts, key=b"o").answer(["q", 1], answering(b"four")) == b"four"


async def test_a_large_answer_is_not_kept(redis: "Redis") -> None:
    cache = cache_of(redis, Counter())
    for size, kept in ((1 << 20, True), ((1 << 20) + 1, False)):
        assert await cache.answer(size, answering(b"x" * size)) == b"x" * size
        assert (await cache.answer(size, answering(b"new")) == b"new") is not kept


async def test_a_redis_that_hangs_costs_one_short_wait() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    hanging = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = hanging.sockets[0].getsockname()[1]
    counts: Counter[str] = Counter()
    async with hanging, Redis(host="127.0.0.1", port=port) as redis:
        cache = cache_of(redis, counts)
        began = time.monotonic()
        for _ in range(20):
            assert await cache.answer("q", answering(b"one")) == b"one"
        assert time.monotonic() - began < 5  # which 20 waits would take, of 0.25 s each
    assert counts == {"down": 20}


async def test_a_redis_that_comes_back_is_used_again(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: Counter[str] = Counter()
    async with Redis.from_url(redis_url) as redis:
        cache = cache_of(redis, counts)
        monkeypatch.setattr("api.reading.cache._REST_SECONDS", 0.05)
        monkeypatch.setattr("api.reading.cache._ANSWER_SECONDS", 0)  # as if it were too slow
        await cache.answer("q", answering(b"one"))
        monkeypatch.undo()
        await asyncio.sleep(0.06)
        await cache.answer("q", answering(b"two"))
        assert await cache.answer("q", unasked) == b"two"
    assert counts == {"down": 1, "miss": 1, "hit": 1}


async def test_the_default_range_is_one_place_for_a_minute_and_moves_on(
    pages_settings: Settings, database: str
) -> None:
    today = datetime(2018, 6, 1, 12, 0, 0, tzinfo=UTC)
    at = [today]
    await store(database, [made(ALICE, 1, after=today - START - timedelta(days=30))])
    async with serving(pages_settings, clock=lambda: at[0], query_cache_seconds=60) as client:

        async def count() -> int:
            async with client.get("/transactions", params={"user_id": ALICE}) as response:
                return len((await response.json())["transactions"])

        assert await count() == 1
        at[0] = today + timedelta(seconds=59)
        assert await count() == 1
        at[0] = today + timedelta(seconds=60)
        assert await count() == 0
        async with client.get("/metrics") as response:
            text = await response.text()
    assert 'txnwatch_api_query_cache_total{outcome="hit"} 1.0' in text
    assert 'txnwatch_api_query_cache_total{outcome="miss"} 2.0' in text


async def test_a_range_that_has_ended_is_kept_for_longer(pages_settings: Settings, redis: "Redis") -> None:
    clock = datetime(2018, 6, 1, 12, tzinfo=UTC)
    kept = {
        "2018-05-31": 600_000,
        "2018-06-01T11:58:59": 600_000,
        "2018-06-01T11:59:30": 60_000,
        "2018-06-02": 60_000,
    }
    settings = {"query_cache_seconds": 60, "query_cache_closed_seconds": 600}
    async with serving(pages_settings, clock=lambda: clock, **settings) as client:
        for to_date, most in kept.items():
            async with client.get("/transactions", params={"user_id": ALICE, "to_date": to_date}) as response:
                assert response.status == 200
            [name] = await redis.keys("query:*")
            assert most - 5_000 < await redis.pttl(name) <= most
            await redis.delete(name)


async def test_no_filter_is_answered_with_another_ones_rows(pages_settings: Settings, database: str) -> None:
    many = [
        made(owner, n, hundredths=n, after=timedelta(hours=n), flag=None if n % 2 else FLAG)
        for owner in (ALICE, BOB)
        for n in range(6)
    ]
    await store(database, many)
    async with (
        serving(pages_settings, query_cache_seconds=0) as plain,
        serving(pages_settings, query_cache_seconds=60) as kept,
    ):
        asked: list[tuple[str, dict[str, str | int]]] = []
        for owner in (ALICE, BOB):
            every: dict[str, str | int] = {"user_id": owner, "from_date": "2018-01-01"}
            async with plain.get("/transactions", params={**every, "limit": 3}) as response:
                cursor = (await response.json())["cursor"]
            varied: tuple[dict[str, str | int], ...] = (
                {}, {"limit": 2}, {"min_amount": "0.03"}, {"max_amount": "0.03"}, {"is_anomaly": "true"},
                {"is_anomaly": "false"}, {"from_date": "2018-04-01T01:30"}, {"to_date": "2018-04-01T01:30"},
                {"cursor": cursor},
            )  # fmt: skip
            asked += [("/transactions", {**every, **more}) for more in varied]
            asked += [("/anomalies", {**every, **more}) for more in ({"limit": 1}, {"cursor": cursor})]
        asked += [("/anomalies", {"from_date": "2018-01-01"})]
        answers = set()
        for path, query in (*asked, *asked):
            expected, got = [await one.get(path, params=query) for one in (plain, kept)]
            assert expected.status == 200
            assert await got.read() == await expected.read()
            answers.add(await expected.read())
        assert len(answers) == len(asked)  # any other one would have shown
        assert await counted(kept, "txnwatch_api_query_cache_total") == 2 * len(asked)


async def test_switched_off_it_is_neither_asked_nor_filled(
    pages_settings: Settings, database: str, redis: "Redis"
) -> None:
    open_range = {"user_id": ALICE, "from_date": "2018-01-01"}
    async with serving(pages_settings, query_cache_seconds=0) as client:
        for there in range(3):
            for query in (open_range, {**open_range, "to_date": "2018-12-31"}):
                async with client.get("/transactions", params=query) as response:
                    assert len((await response.json())["transactions"]) == there
            await store(database, [made(ALICE, there)])
        async with client.get("/metrics") as response:
            lines = (await response.text()).splitlines()
    assert await redis.dbsize() == 0
    for outcome in ("hit", "miss", "down"):
        assert f'txnwatch_api_query_cache_total{{outcome="{outcome}"}} 0.0' in lines


async def test_a_client_that_wants_no_kept_answer_gets_none(pages_settings: Settings, database: str) -> None:
    async with serving(pages_settings, query_cache_seconds=60) as client:
        query = {"user_id": ALICE, "from_date": "2018-01-01"}

        async def shown(**headers: str) -> int:
            async with client.get("/transactions", params=query, headers=headers) as response:
                return len((await response.json())["transactions"])

        assert await shown() == 0
        await store(database, [made(ALICE)])
        assert await shown() == 0
        assert await shown(**{"Cache-Control": "no-cache"}) == 1

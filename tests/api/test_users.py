from datetime import timedelta
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr
from redis.asyncio import Redis

from api.settings import Settings
from infra.runtime.redis import Keys
from stream_app.sinks.redis_windows import RedisWindows
from stream_app.state.store import describe
from stream_app.window import Window
from tests.support.rows import made, store, user
from tests.support.serving import DEAD, Client, serving, settings_from

ALICE = user(1)


async def test_users_come_in_the_order_of_their_ids_each_once(client: Client, database: str) -> None:
    known = [user(number) for number in range(25)]
    await store(database, [made(one, n) for one in known for n in range(2)])
    got: list[str] = []
    cursor = ""
    while True:
        async with client.get("/users", params={"limit": 4, "cursor": cursor}) as response:
            body = await response.json()
        if not body["users"]:
            assert body == {"users": [], "cursor": ""}
            break
        assert body["cursor"]
        got, cursor = got + body["users"], body["cursor"]
    assert got == sorted(known)


async def test_the_old_client_gets_its_users_in_one_call(client: Client, database: str) -> None:
    known = [user(number) for number in range(30)]
    await store(database, [made(one) for one in known])
    async with client.get("/users") as response:
        assert (await response.json())["users"] == sorted(known)


@pytest.mark.parametrize("query", ["limit=10001", "limit=0", "cursor=abc", "cursor=" + "A" * 48])
async def test_a_wrong_page_of_users_is_refused(client: Client, query: str) -> None:
    async with client.get(f"/users?{query}") as response:
        assert response.status == 422
        assert [error["parameter"] for error in (await response.json())["errors"]] == [
            "limit" if "limit" in query else "cursor"
        ]


async def mirror(redis_url: str, user_id: str, amounts: list[str], **window: Any) -> None:
    """Writes a window as the worker does."""
    async with Redis.from_url(redis_url) as redis:
        await redis.hset(f"user:{user_id}:window", mapping=dict[Any, Any](window))
        await redis.rpush(f"user:{user_id}:txn_amounts", *amounts)


async def test_stats_show_the_window(client: Client, redis_url: str) -> None:
    window = {
        "count": 2,
        "sum": "14.50",
        "mean": "7.25",
        "last_offset": 41,
        "updated_at": "2018-04-01T00:00:31Z",
    }
    await mirror(redis_url, ALICE, ["2.50", "12.00"], **window)
    async with client.get(f"/users/{ALICE.upper()}/stats") as response:
        assert response.status == 200
        assert await response.json() == {**window, "user_id": ALICE, "amounts": ["2.50", "12.00"]}


async def test_an_unknown_user_has_no_stats(client: Client) -> None:
    async with client.get(f"/users/{ALICE}/stats") as response:
        assert response.status == 404
        assert response.content_type == "application/problem+json"


async def test_a_mirror_that_cannot_be_read_is_told_as_such(client: Client, redis_url: str) -> None:
    await mirror(redis_url, ALICE, ["2.50"], count="many")
    async with client.get(f"/users/{ALICE}/stats") as response:
        assert response.status == 503
        assert "txnwatch mirror rebuild" in (await response.json())["detail"]


async def test_another_apps_windows_are_not_shown(client: Client, redis_url: str) -> None:
    window = {
        "count": 1,
        "sum": "2.50",
        "mean": "2.50",
        "last_offset": 41,
        "updated_at": "2018-04-01T00:00:31Z",
    }
    await mirror(redis_url, ALICE, ["2.50"], **window)
    async with Redis.from_url(redis_url) as redis:
        await redis.hset(Keys().owner, "app_id", "theirs")
    async with client.get(f"/users/{ALICE}/stats") as response:
        assert response.status == 503
    async with client.get("/ready") as response:
        assert (await response.json())["dependencies"]["redis"]["state"] == "down"


async def test_stats_are_those_under_the_prefix(pages_settings: Settings, redis_url: str) -> None:
    window = {
        "count": 1,
        "sum": "2.50",
        "mean": "2.50",
        "last_offset": 41,
        "updated_at": "2018-04-01T00:00:31Z",
    }
    await mirror(redis_url, ALICE, ["2.50"], **window)
    async with Redis.from_url(redis_url) as redis:
        for name in ("window", "txn_amounts"):
            await redis.copy(f"user:{ALICE}:{name}", f"eu:user:{ALICE}:{name}")
        await redis.hset(f"eu:user:{ALICE}:window", "last_offset", "7")
    eu = serving(pages_settings, redis_prefix="eu:")
    async with eu as client, client.get(f"/users/{ALICE}/stats") as response:
        assert (await response.json())["last_offset"] == 7


async def test_stats_of_a_user_with_several_currencies_have_each_ones_window(
    client: Client, redis_url: str
) -> None:
    """The worker's own writing, read back."""
    window = Window()
    for number, (currency, amount) in enumerate([("JPY", 170_000), ("EUR", 1_000), ("JPY", 170_001)]):
        window.use(currency)
        window.push(amount, number.to_bytes(20), size=20)
    async with Redis.from_url(redis_url) as redis:
        await RedisWindows(redis, settings_from({"REDIS_URL": redis_url})).write({ALICE: (0, window)})
        async with client.get(f"/users/{ALICE}/stats") as response:
            stats = await response.json()
        assert stats == msgspec.to_builtins(describe(ALICE, window))  # as the worker's own view
        assert await redis.lrange(f"user:{ALICE}:EUR:txn_amounts", 0, -1) == [b"10.00"]
        window.use_any()  # as under TXNWATCH_WINDOW_BY=user
        await RedisWindows(redis, settings_from({"REDIS_URL": redis_url})).write({ALICE: (0, window)})
        async with client.get(f"/users/{ALICE}/stats") as response:
            assert "currencies" not in await response.json()
    assert (stats["count"], stats["amounts"]) == (2, ["1700.01", "1700.00"])
    assert [*stats["currencies"]] == ["JPY", "EUR"]
    assert stats["currencies"]["EUR"] == {"count": 1, "mean": "10.00", "sum": "10.00", "amounts": ["10.00"]}


async def test_stats_without_redis_say_when_to_come_back(pages_settings: Settings) -> None:
    dead = settings_with_redis(pages_settings)
    async with serving(dead) as client, client.get(f"/users/{ALICE}/stats") as response:
        assert response.status == 503
        assert int(response.headers["Retry-After"]) > 0
        assert response.content_type == "application/problem+json"


@pytest.mark.parametrize("former", [False, True])
async def test_stats_without_redis_are_the_workers(pages_settings: Settings, former: bool) -> None:  # noqa: FBT001 - a parameter of the test
    window: dict[str, Any] = {
        "user_id": ALICE, "count": 2, "sum": "14.50", "mean": "7.25", "amounts": ["2.50", "12.00"],
        "last_offset": 41, "updated_at": "2018-04-01T00:00:31+00:00",
    }  # fmt: skip

    # Workers of a former version do not repeat the user's id.
    shown = {name: value for name, value in window.items() if not (former and name == "user_id")}

    async def view(request: web.Request) -> web.Response:
        known = {ALICE: web.json_response(shown), user(2): web.Response(text="nonsense")}
        return known.get(
            request.match_info["user_id"], web.json_response({"error": "key not found"}, status=404)
        )

    app = web.Application()
    app.router.add_get("/table/windows/{user_id}/", view)
    async with TestServer(app) as worker:
        dead = settings_with_redis(pages_settings).model_copy(
            update={"worker_url": str(worker.make_url("/"))}
        )
        async with serving(dead) as client:
            async with client.get(f"/users/{ALICE}/stats") as response:
                assert (response.status, await response.json()) == (200, window)
            for one, status in ((user(2), 503), (user(3), 404)):
                async with client.get(f"/users/{one}/stats") as response:
                    assert (response.status, response.content_type) == (status, "application/problem+json")


async def test_rows_come_without_redis_too(pages_settings: Settings, database: str) -> None:
    await store(database, [made(ALICE, n, after=timedelta(days=n)) for n in range(3)])
    query = {"user_id": ALICE, "from_date": "2018-01-01"}
    async with serving(settings_with_redis(pages_settings)) as client:
        for _ in range(3):
            async with client.get("/transactions", params=query) as response:
                assert len((await response.json())["transactions"]) == 3
        async with client.get("/metrics") as response:
            text = await response.text()
    assert 'txnwatch_api_query_cache_total{outcome="hit"} 0.0' in text


def settings_with_redis(pages_settings: Settings) -> Settings:
    dead = {"redis": SecretStr(f"redis://{DEAD}/0"), "worker_url": f"http://{DEAD}"}
    return pages_settings.model_copy(update=dead)

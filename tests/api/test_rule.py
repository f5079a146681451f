"""What a worker says of its rule and of where flags start, and nothing that the API thinks by itself."""

import asyncio

import msgspec
import pytest

from schemas.rule import Rule
from schemas.window_view import FlagStarts
from stream_app.detectors import rule_of
from tests.support.detectors import rolling_mean
from tests.support.rows import user
from tests.support.services import free_port
from tests.support.serving import DEAD, Client, serving, settings_from
from tests.support.worker_view import worker_view

SERVICES = {
    "KAFKA_BOOTSTRAP_SERVERS": DEAD,
    "POSTGRES_URL": f"postgresql://{DEAD}",
    "REDIS_URL": f"redis://{DEAD}",
}


async def test_the_rule_is_the_workers_whatever_the_apis_own_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TXNWATCH_FACTOR", "7")
    monkeypatch.setenv("TXNWATCH_WINDOW_SIZE", "50")
    rule = rule_of(rolling_mean(size=12, minimum=3))

    async with worker_view(rule) as url, serving(settings_from(SERVICES, TXNWATCH_WORKER_URL=url)) as client:
        response = await client.get("/dashboard/data/rule")
        shown = msgspec.json.decode(await response.read(), type=Rule)

    assert response.status == 200
    assert shown == rule
    assert shown.sentence == (
        "An amount is flagged above 5 times the mean of the user's last 12 before it, from 3 on."
    )
    assert [(line.name, line.factor, line.window, line.minimum) for line in shown.lines] == [
        ("rolling mean", 1.0, 12, 3),
        ("threshold", 5.0, 12, 3),
    ]


async def test_a_worker_that_comes_back_with_other_settings_is_asked_again() -> None:
    port, now = free_port(), rule_of(rolling_mean(size=12, minimum=3))
    settings = settings_from(SERVICES, TXNWATCH_WORKER_URL=f"http://127.0.0.1:{port}")
    async with serving(settings) as client:
        async with worker_view(port=port):
            assert (await rule_shown(client)).rule == rolling_mean().rule
        async with worker_view(now, port=port), asyncio.timeout(5):
            while (await rule_shown(client)).rule != now.rule:  # noqa: ASYNC110 - it is on the other side of HTTP
                await asyncio.sleep(0.05)


async def rule_shown(client: Client) -> Rule:
    response = await client.get("/dashboard/data/rule")
    return msgspec.json.decode(await response.read(), type=Rule)


async def test_while_no_worker_answers_there_is_no_rule() -> None:
    async with serving(settings_from(SERVICES)) as client:
        response = await client.get("/dashboard/data/rule")
        problem = await response.json()

    assert response.status == 503
    assert problem["detail"] == "No worker answers."
    assert response.headers["Retry-After"]


async def test_where_flags_start_is_the_workers_of_this_user_and_currency() -> None:
    starts = {user(1): {"EUR": FlagStarts("2018-04-01T00:00:31+00:00", {"odds": "42.33"})}}
    path = "/dashboard/data/flags_from?user_id={}&currency={}"
    async with (
        worker_view(starts=starts) as url,
        serving(settings_from(SERVICES, TXNWATCH_WORKER_URL=url)) as client,
    ):
        known = await client.get(path.format(user(1), "eur"))
        unknown = await client.get(path.format(user(2), "EUR"))
        wrong = await client.get(path.format("me", "EURO"))

        assert (known.status, unknown.status, wrong.status) == (200, 404, 422)
        assert (await known.json())["flags_from"] == {"odds": "42.33"}
        named = [error["parameter"] for error in (await wrong.json())["errors"]]
        assert named == ["user_id", "currency"]

"""`POST /transactions` with a real worker behind it, and with a Kafka that freezes."""

import asyncio
import json
import time
from typing import Any

import pytest

from infra.migrate import migrate
from infra.runtime.settings import Settings as TopicSettings
from infra.topics import ensure_topics
from tests.support.faults.outages import Services
from tests.support.installation import Installation, ended
from tests.support.posting import given, post, taken
from tests.support.rows import made, user
from tests.support.serving import serving, settings_from

ALICE = user(1)


def plain(number: int, **changed: Any) -> dict[str, Any]:
    return {**given(made(ALICE, number)), **changed}


@pytest.mark.slow
async def test_the_verdict_is_in_the_answer_and_the_same_again_is_answered_alike(
    environment: dict[str, str],
) -> None:
    installation, settings = Installation(environment), settings_from(environment)
    with installation.worker() as worker:
        async with serving(settings) as client:
            first = [await post(client, plain(n), wait="30s") for n in range(12)]
            large = await post(client, plain(12, amount="200.00"), wait="30s")
            twice = await asyncio.gather(*(post(client, plain(13), wait="30s") for _ in range(5)))
            sent = len(await taken(settings))
            again = await post(client, [plain(0), plain(12, amount="200.00")], wait="0s")
            assert len(await taken(settings)) == sent
            revised = await post(client, plain(12, amount="200.00", status="reversed"), wait="30s")
            many = await post(client, [plain(n) for n in range(20, 60)], wait="30s")
            late = await post(client, plain(0), wait="0s")
        assert await ended(worker) == 0

    assert [status for status, _ in (*first, large, *twice, again, revised, many, late)] == [200] * 22
    assert [body["transactions"][0]["row"]["meta_data"] for _, body in first] == [{"is_anomaly": False}] * 12
    flagged = large[1]["transactions"][0]["row"]
    assert (flagged["meta_data"]["is_anomaly"], flagged["meta_data"]["mean"]) == (True, "12.30")
    assert again[1]["transactions"] == [*first[0][1]["transactions"], *large[1]["transactions"]]
    assert late == first[0]
    assert [body for _, body in twice] == [twice[0][1]] * 5
    assert revised[1]["transactions"][0]["row"]["meta_data"] == {**flagged["meta_data"], "revision": 2}
    assert many[1]["accepted"] == 40
    assert len(await installation.rows()) == 54


@pytest.mark.slow
async def test_a_frozen_kafka_is_said_soon_and_what_is_accepted_is_there(own_services: Services) -> None:
    addresses = own_services.addresses
    await migrate(addresses.postgres)
    await ensure_topics(TopicSettings(kafka=addresses.kafka))
    settings = settings_from(addresses.as_env(), dependency_seconds=1.0)
    async with serving(settings) as client:
        assert (await post(client, plain(0)))[0] == 202
        for seconds in (3, 15):  # longer than a request is waited for, and than the producer is
            with own_services.hanging("kafka"):
                began, slowest = time.monotonic(), 0.0
                while (now := time.monotonic()) < began + seconds:
                    answers = await asyncio.gather(*(post(client, plain(n)) for n in range(1, 20)))
                    assert {status for status, _ in answers} == {503}
                    slowest = max(slowest, time.monotonic() - now)
                assert slowest < 3
            async with asyncio.timeout(30):
                while (await post(client, plain(0)))[0] != 202:  # noqa: ASYNC110 - it is Kafka's to say
                    await asyncio.sleep(0.1)
            answers = [await post(client, plain(n)) for n in range(1, 20)]
            assert [status for status, _ in answers] == [202] * 19
    ids = {json.loads(record.value or b"")["id"] for record in await taken(settings)}
    assert ids == {plain(n)["id"] for n in range(20)}

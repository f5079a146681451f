"""`POST /transactions`: to the input topic as producers do, and back with the verdict."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import asyncpg
import pytest

from api.reading.database import Database
from api.reading.known import KnownRows
from api.settings import Settings
from infra.runtime.partitioners import partition_of
from tests.support.posting import LINES, given, lines, post, taken
from tests.support.rows import FLAG, Worker, made, store, user
from tests.support.serving import DEAD, Client, counted, serving, settings_from, until

T = TypeVar("T")
ALICE, BOB = user(1), user(2)


async def test_what_is_posted_is_on_the_topic_as_producers_put_it_there(settings: Settings) -> None:
    ones = [given(made(user(1 + n % 3), n)) for n in range(9)]
    shouted = {**ones[0], "user_id": ones[0]["user_id"].upper()}
    async with serving(settings) as client:
        answers = [
            await post(client, shouted),
            await post(client, ones[1:5]),
            await post(client, lines(*ones[5:]), LINES),
        ]
        assert await counted(client, "txnwatch_api_posted_transactions_total") == 9

    assert [(status, body["accepted"], body["refused"]) for status, body in answers] == [
        (202, 1, 0),
        (202, 4, 0),
        (202, 4, 0),
    ]
    outcomes = [one for _, body in answers for one in body["transactions"]]
    assert outcomes == [{"outcome": "accepted", "id": one["id"]} for one in ones]
    records = await taken(settings)
    by_id = {json.loads(record.value or b"")["id"]: record for record in records}
    assert len(records) == len(by_id) == 9
    for one in ones:
        key = one["user_id"].encode()
        record = by_id[one["id"]]
        assert (record.key, record.partition) == (key, partition_of("murmur2", key, 4))
    assert json.loads(by_id[ones[0]["id"]].value or b"") == shouted


async def test_what_is_refused_is_named_in_its_place_and_keeps_back_nothing_else(settings: Settings) -> None:
    good = given(made(ALICE))
    bad: Sequence[tuple[Any, str]] = [
        ({**good, "amount": -1}, "amount"),
        ({**good, "txn_date": "2018-04-01"}, "txn_date"),
        ({**good, "txn_date": "9999-01-01T00:00:00Z"}, "txn_date"),
        ({**good, "user_id": 7}, "user_id"),
        ({**good, "status": "\0"}, "text"),
        ({"id": good["id"]}, "user_id"),
        (7, "json"),
    ]
    async with serving(settings) as client:
        status, body = await post(client, [one for one, _ in bad] + [good])
        refused = await post(client, [one for one, _ in bad])
        alone = await post(client, bad[0][0])
        broken = await post(client, lines(good) + b'{"id":\n', LINES)

    assert (status, body["accepted"], body["refused"]) == (202, 1, len(bad))
    assert [one.get("reason") for one in body["transactions"]] == [*(reason for _, reason in bad), None]
    assert all(one["detail"] for one in body["transactions"][:-1])
    assert body["transactions"][-1] == {"outcome": "accepted", "id": good["id"]}
    assert refused[0] == alone[0] == 422
    assert [one["parameter"] for one in refused[1]["errors"]] == [
        f"[{number}].{reason}" for number, (_, reason) in enumerate(bad)
    ]
    assert [one["parameter"] for one in alone[1]["errors"]] == ["amount"]
    assert [one["outcome"] for one in broken[1]["transactions"]] == ["accepted", "refused"]
    assert len(await taken(settings)) == 2


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b"", "application/json", 422),
        (b"[]", "application/json", 422),
        (b"\n \n", LINES, 422),
        (b"[{}", "application/json", 422),
        (b"[" * 100_000, "application/json", 422),
        (b"[" + b"1," * 10_000 + b"1]", "application/json", 422),
        (b" " * (1 << 20) + b"{}", "application/json", 413),
        (b"{}", "text/plain", 415),
        (b"{}", "application/x-www-form-urlencoded", 415),
    ],
    ids=lambda one: one[:20] if isinstance(one, bytes) else str(one),
)
async def test_what_is_no_transaction_is_refused(
    client: Client, body: bytes, media: str, status: int
) -> None:
    assert (await post(client, body, media))[0] == status


@pytest.mark.parametrize("wait", ["1", "-1s", "31s", "1m", "30001ms", "1.5s", "∞s"])
async def test_a_time_is_said_as_it_is_written(client: Client, wait: str) -> None:
    status, problem = await post(client, given(made(ALICE)), wait=wait)

    assert (status, problem["errors"][0]["parameter"]) == (422, "wait")


async def test_a_page_of_another_origin_posts_nothing(client: Client) -> None:
    headers = {"Origin": "https://evil.example", "Content-Type": "application/json"}
    async with client.post("/transactions", data="{}", headers=headers) as response:
        assert response.status == 403


@pytest.mark.parametrize(
    ("site", "status"), [("same-origin", 422), ("same-site", 403), ("cross-site", 403), ("none", 403)]
)
async def test_the_browser_says_whose_a_page_is_where_a_proxy_sets_the_host(
    client: Client, site: str, status: int
) -> None:
    headers = {"Origin": "https://txn.example", "Content-Type": "application/json", "Sec-Fetch-Site": site}
    async with client.post("/transactions", data="{}", headers=headers) as response:
        assert response.status == status


async def test_who_waits_gets_the_verdicts_and_who_waits_in_vain_gets_what_has_come(
    settings: Settings,
) -> None:
    plain, flagged, slow = made(ALICE, 1), made(ALICE, 2, flag=FLAG), made(BOB, 3)
    async with serving(settings) as client, Worker(settings.kafka, settings.scored_topic) as worker:
        both = asyncio.create_task(post(client, [given(plain), given(flagged), {}], wait="20s"))
        again = asyncio.create_task(post(client, given(plain), wait="20s"))
        await until(
            client, "txnwatch_api_posted_transactions_total", 4
        )  # three are with Kafka, one is refused
        await worker.publish(flagged, made(ALICE, 4), plain)
        status, body = await both
        assert await again == (200, {"accepted": 1, "refused": 0, "transactions": body["transactions"][:1]})
        part = asyncio.create_task(post(client, [given(slow), given(plain)], wait="700ms"))
        await until(client, "txnwatch_api_posted_transactions_total", 6)
        await worker.publish(plain)
        late, partly = await part
        assert await counted(client, "txnwatch_api_verdict_seconds_count") == 2

    assert (status, body["accepted"], body["refused"]) == (200, 2, 1)
    assert [(one["outcome"], one.get("row")) for one in body["transactions"]] == [
        ("scored", plain.shown),
        ("scored", flagged.shown),
        ("refused", None),
    ]
    assert (late, [one["outcome"] for one in partly["transactions"]]) == (202, ["accepted", "scored"])


async def test_what_has_a_row_is_not_sent_again_and_other_content_is(
    settings: Settings, database: str
) -> None:
    there = made(ALICE, 1, flag=FLAG, meta_data={"shop": 7}, merchant_id="bakery")
    await store(database, [there, made(ALICE, 2)])
    new = {**given(there), "status": "reversed"}
    async with serving(settings) as client:
        scored = await post(client, given(there), wait="10s")
        accepted = await post(client, [given(there), new])
        known = await counted(client, "txnwatch_api_posted_transactions_total")

    assert scored[0] == 200
    assert scored[1]["transactions"] == [{"outcome": "scored", "id": there.txn.id, "row": there.shown}]
    assert accepted[0] == 202
    assert [one["outcome"] for one in accepted[1]["transactions"]] == ["accepted", "accepted"]
    assert known == 3
    assert [json.loads(record.value or b"")["status"] for record in await taken(settings)] == ["reversed"]


async def test_no_more_is_in_work_than_there_is_room_for(settings: Settings) -> None:
    async with serving(settings, posted_bytes=100) as client:
        waits = asyncio.create_task(post(client, given(made(ALICE, 1)), wait="1s"))
        await until(client, "txnwatch_api_posted_transactions_total", 1)
        assert (await post(client, given(made(ALICE, 2))))[0] == 429
        assert (await waits)[0] == 202
        assert (await post(client, given(made(ALICE, 2))))[0] == 202


async def test_without_kafka_it_says_soon_that_nothing_is_taken(pages_settings: Settings) -> None:
    async with serving(pages_settings, kafka=DEAD, dependency_seconds=1.0) as client:
        began = time.monotonic()
        answers = await asyncio.gather(*(post(client, given(made(ALICE, n))) for n in range(5)))
        assert time.monotonic() - began < 5  # which they would take one after the other
    assert [(status, "Kafka" in body["detail"]) for status, body in answers] == [(503, True)] * 5


async def test_without_postgres_it_is_sent_all_the_same(settings: Settings) -> None:
    away = settings.postgres.__class__(f"postgresql://{DEAD}/none")
    async with serving(settings, postgres=away) as client:
        assert (await post(client, given(made(ALICE))))[0] == 202
    assert len(await taken(settings)) == 1


async def test_without_the_topic_of_all_verdicts_there_is_nothing_to_wait_for(settings: Settings) -> None:
    async with serving(settings, scored_topic="") as client:
        status, problem = await post(client, given(made(ALICE)), wait="1s")
        assert (status, "TXNWATCH_SCORED_TOPIC" in problem["detail"]) == (503, True)
        assert (await post(client, given(made(ALICE))))[0] == 202


class Asked(Database):
    """Counts its questions."""

    count = open = most = 0

    async def asked(self, question: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        self.count, self.open = self.count + 1, self.open + 1
        self.most = max(self.most, self.open)
        try:
            return await super().asked(question)
        finally:
            self.open -= 1


async def test_rows_are_looked_for_once_for_all_who_come_during_the_look_before(database: str) -> None:
    many = [made(user(n % 7), n) for n in range(100)]
    await store(database, many[:50])
    async with Asked(settings_from({"POSTGRES_URL": database})) as reads, asyncio.TaskGroup() as group:
        known = KnownRows(reads)
        looks = []
        for one in many:
            looks.append(group.create_task(known.of([one.txn])))
            await asyncio.sleep(0.0005)
        leaves = group.create_task(known.of([many[0].txn]))
        await asyncio.sleep(0)
        leaves.cancel()  # and takes nobody's answer along

    assert [one.result() != [None] for one in looks] == [True] * 50 + [False] * 50
    assert reads.most == 1
    assert reads.count < len(many) / 2

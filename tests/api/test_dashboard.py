"""The dashboard's page as it is served, and what it asks for beyond the other routes."""

import hashlib
import re
import time
from itertools import pairwise
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from yarl import URL

from api.settings import Settings
from tests.support.coordinator import answer_as_loading
from tests.support.installation import until
from tests.support.rows import FLAG, Made, Worker, made, store, user
from tests.support.serving import DEAD, Client, serving

PATIENCE = 20


async def get(client: Client, path: str, **query: Any) -> dict[str, Any]:
    async with client.get(path, params=query) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Cache-Control"] == "no-store"
        body: dict[str, Any] = await response.json()
        return body


async def eventually(client: Client, path: str, key: str, expected: Any) -> dict[str, Any]:
    """The answer as soon as it holds what is expected."""
    body: dict[str, Any] = {}

    async def holds() -> bool:
        nonlocal body
        body = await get(client, path)
        return bool(body[key] == expected)

    await until(holds, within=PATIENCE)
    return body


async def send(settings: Settings, topic: str, value: bytes, **options: Any) -> None:
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
        await producer.send_and_wait(topic, value, **options)


async def test_the_page_may_load_from_here_alone_and_run_nothing_inline(client: Client) -> None:
    async with client.get("/dashboard") as response:
        assert (response.status, response.content_type) == (200, "text/html")
        policy = dict(
            part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";")
        )
        text = await response.text()

    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert "://" not in text
    assert "style=" not in text


async def test_every_file_that_the_page_names_is_there(client: Client) -> None:
    async with client.get("/dashboard") as response:
        text = await response.text()
    named = {part.split('"')[0] for part in text.replace("href=", "src=").split('src="')[1:]}
    files = {name for name in named if name.startswith("dashboard/")}

    assert "dashboard/uplot.iife.min.js" in files
    for name in files:
        async with client.get(f"/{name}") as response:
            assert response.status == 200, name
            assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_all_that_the_page_loads_is_small(client: Client) -> None:
    """A chart library alone had 4.8 MB."""
    found, waiting = {}, ["dashboard"]
    while waiting:
        name = waiting.pop()
        async with client.get(f"/{name}") as response:
            text = await response.text()
        found[name] = len(text.encode())
        named = re.findall(r'(?:src="|href="|from "\./)([\w./]+)"', text)
        waiting += {f"dashboard/{one.removeprefix('dashboard/')}" for one in named} - {*found, *waiting}

    assert len(found) > 20
    assert sum(found.values()) < 240_000, found


async def test_the_chart_library_is_the_one_that_its_makers_published(client: Client) -> None:
    """Version 1.6.31 of uPlot, of which the installed package has a copy."""
    async with client.get("/dashboard/uplot.iife.min.js") as response:
        body = await response.read()
    assert (
        hashlib.sha256(body).hexdigest() == "2d27e8ad3d228164525ce213f9dc716f39b4e3aee0cc773fb3491c96cf4921a2"
    )


async def test_no_other_file_is_served(client: Client) -> None:
    for name in ("page.html", "page.py", "..%2Fpage.py", "__init__.py", "nothing.js"):
        async with client.get(f"/dashboard/{name}") as response:
            assert response.status == 404, name


@pytest.mark.parametrize(
    ("path", "status", "root"),
    [
        ("/dashboard/nothing", 404, "../"),
        ("/dashboard/a/<b>/", 404, "../../../"),
        ("/dashboard?a=1", 422, ""),
    ],
)
async def test_who_looks_for_a_page_that_is_not_there_gets_one_that_says_so(
    client: Client, path: str, status: int, root: str
) -> None:
    async with client.get(path, headers={"Accept": "text/html,*/*;q=0.8"}) as response:
        assert (response.status, response.content_type) == (status, "text/html")
        assert "script-src 'self'" in response.headers["Content-Security-Policy"]
        text = await response.text()
    assert f'<a href="{root}dashboard">' in text
    assert ("a is not a parameter of this route." in text) == (status == 422)
    async with client.get(path) as response:
        assert (response.status, response.content_type) == (status, "application/problem+json")


@pytest.mark.parametrize("query", ["", "?a=1", "?a=%0d%0aX-Own:%201", "?a=%23b&c=%26%3D+%C3%BC%FF"])
async def test_a_slash_too_many_leads_to_the_page_with_the_query_as_it_was_sent(
    client: Client, query: str
) -> None:
    url = URL(f"{client.make_url('/dashboard/')}{query}", encoded=True)
    async with client.session.get(url, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (308, f"../dashboard{query}")


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
async def test_an_unchanged_file_is_not_sent_again_and_the_connection_stays_good(
    client: Client, accepted: str
) -> None:
    headers = {"Accept-Encoding": accepted}
    async with client.get("/dashboard/main.js", headers=headers) as response:
        etag, text = response.headers["ETag"], await response.text()
        assert response.headers.get("Content-Encoding", "identity") == accepted
        assert "addEventListener" in text
    for _ in range(3):
        async with client.get("/dashboard/main.js", headers=headers | {"If-None-Match": etag}) as response:
            assert (response.status, await response.read()) == (304, b"")
    async with client.get("/dashboard/main.js", headers=headers) as response:
        assert await response.text() == text


async def test_the_page_does_not_wait_for_a_past_that_kafka_is_slow_to_look_up(settings: Settings) -> None:
    """For each time Kafka reads a whole batch: here it takes about 0.2 s, and there are 61 times."""
    topic, began, count = settings.transactions_topic, time.time_ns() // 1_000_000 - 300_000, 120_000
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka, compression_type="gzip", max_batch_size=1 << 25
    ) as producer:
        batch = producer.create_batch()
        for number in range(count):
            batch.append(key=b"k", value=b"v" * 180, timestamp=began + number * 300_000 // count)
        await (await producer.send_batch(batch, topic, partition=0))

    async with serving(settings, dependency_seconds=4) as client:
        pulse = await get(client, "/dashboard/data/pulse")

    assert [one["lag"] for one in pulse["partitions"]] == [count, 0, 0, 0]


async def test_a_flags_way_through_is_told_from_its_source_records_timestamp(settings: Settings) -> None:
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
        sent = await producer.send_and_wait(settings.transactions_topic, b"{}", partition=2)
    one = made(user(), 1, flag=FLAG)

    async with serving(settings) as client:
        await get(client, "/dashboard/data/pulse")
        await publish_with_origin(settings, one, sent.partition, sent.offset)

        async def told() -> bool:
            return expected in [sample["produced"] for sample in await samples(client)]

        known = {name: one.shown[name] for name in ("id", "txn_date", "user_id")}
        expected = {**known, "at": sent.timestamp}
        await until(told, within=PATIENCE)


async def publish_with_origin(settings: Settings, one: Made, partition: int, offset: int) -> None:
    origin = [("source-partition", b"%d" % partition), ("source-offset", b"%d" % offset)]
    await send(settings, settings.anomalies_topic, one.row, headers=origin)


async def samples(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await get(client, "/dashboard/data/pulse"))["samples"]
    return found


async def test_refused_messages_have_a_rate(settings: Settings) -> None:
    for _ in range(3):
        await send(settings, settings.dlq_topic, b"{", headers=[("reason", b"json")])

    async with serving(settings) as client:
        past = await samples(client)
        await send(settings, settings.dlq_topic, b"{", headers=[("reason", b"json")])

        async def counted() -> bool:
            return len([one for one in await samples(client) if one["refused"]]) > before

        before = len([one for one in past if one["refused"]])
        assert before
        await until(counted, within=PATIENCE)


async def test_flags_are_counted_and_not_the_markers_of_their_transactions_nor_revisions(
    settings: Settings,
) -> None:
    flags = [made(user(number), number, flag=FLAG, meta_data={"shop": '"revision"'}) for number in range(12)]
    revised = [
        made(user(number), number, flag=FLAG, status="settled", revision=2 + number) for number in range(4)
    ]
    async with Worker(settings.kafka, settings.anomalies_topic) as worker:
        await worker.publish(*flags, *revised)
        await worker.abort(made(user(), 99, flag=FLAG))

    async with serving(settings) as client:
        past = await samples(client)

    steps = [(one["at"] - before["at"]) / 1000 for before, one in pairwise(past)]
    assert round(sum(one["flagged"] * seconds for one, seconds in zip(past[1:], steps, strict=True))) == 12


async def test_lag_is_told_by_partition_and_falls_as_the_group_goes_on(settings: Settings) -> None:
    for _ in range(3):
        await send(settings, settings.transactions_topic, b"{}", partition=1)
    async with serving(settings) as client:
        await eventually(client, "/dashboard/data/workers", "state", "none")
        first = (await get(client, "/dashboard/data/pulse"))["partitions"]
        assert [one["lag"] for one in first] == [0, 3, 0, 0]

        async with AIOKafkaConsumer(
            settings.transactions_topic,
            bootstrap_servers=settings.kafka,
            group_id=settings.app_id,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        ) as consumer:
            for _ in range(2):
                await consumer.getone()
            await consumer.commit()

            workers = await eventually(client, "/dashboard/data/workers", "unassigned", [])
            assert workers["state"] == "stable"
            assert [one["partitions"] for one in workers["workers"]] == [[0, 1, 2, 3]]
            expected = {
                "partition": 1, "end": 3, "committed": 2, "lag": 1, "held_back": 0, "held_since": None,
            }  # fmt: skip

            async def fell() -> bool:
                return expected in (await get(client, "/dashboard/data/pulse"))["partitions"]

            await until(fell, within=PATIENCE)


async def test_a_coordinator_that_is_loading_is_not_a_group_that_has_finished_nothing(
    settings: Settings,
) -> None:
    source = TopicPartition(settings.transactions_topic, 1)
    for _ in range(2):
        await send(settings, source.topic, b"{}", partition=source.partition)
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, group_id=settings.app_id, enable_auto_commit=False
    ) as consumer:
        consumer.assign([source])
        await consumer.commit({source: 1})

    async with serving(settings, dependency_seconds=1) as client:
        with pytest.MonkeyPatch.context() as patched:
            answer_as_loading(patched)
            async with client.get("/dashboard/data/pulse") as response:
                assert response.status == 503

        async def answers() -> bool:
            async with client.get("/dashboard/data/pulse") as response:
                return bool(response.status == 200)

        await until(answers, within=PATIENCE)
        partitions = (await get(client, "/dashboard/data/pulse"))["partitions"]
        assert [one["lag"] for one in partitions] == [0, 1, 0, 0]


async def test_refused_messages_are_counted_by_reason_and_shown_as_far_as_legible(settings: Settings) -> None:
    for reason, value in (("json", b"\xff{"), ("amount", b"x" * 5000)):
        headers = [("reason", reason.encode()), ("detail", b"wrong")]
        await send(settings, settings.dlq_topic, value, key=b"k", headers=headers, partition=1)

    async with serving(settings) as client:
        body = await get(client, "/dashboard/data/refused")
        assert (body["total"], body["complete"]) == (2, True)
        assert body["reasons"] == {"json": 1, "amount": 1}
        [last, first] = body["last"]
        assert (first["value"], first["key"], first["partition"], first["offset"]) == ("\ufffd{", "k", 1, 0)
        assert len(last["value"]) == 300

        await send(settings, settings.dlq_topic, b"[1]", headers=[("reason", b"json")])
        assert (await eventually(client, "/dashboard/data/refused", "total", 3))["reasons"]["json"] == 2


async def test_users_are_found_by_how_their_ids_begin(client: Client, pages_settings: Settings) -> None:
    people = sorted(user(number) for number in range(50))
    await store(pages_settings.postgres.get_secret_value(), [made(one) for one in people])

    assert (await get(client, "/dashboard/data/users", prefix=""))["users"] == people[:10]
    for text in (people[7][:5], people[7].upper(), people[7].replace("-", "")[:20]):
        assert (await get(client, "/dashboard/data/users", prefix=text))["users"] == [people[7]]
    async with client.get("/dashboard/data/users", params={"prefix": "x'; --"}) as response:
        assert response.status == 422


async def test_without_kafka_the_page_is_served_and_its_data_is_unavailable(settings: Settings) -> None:
    async with serving(settings, kafka=DEAD, dependency_seconds=0.5) as client:
        async with client.get("/dashboard") as response:
            assert response.status == 200
        for name in ("pulse", "workers", "refused"):
            async with client.get(f"/dashboard/data/{name}") as response:
                assert (response.status, "Retry-After" in response.headers) == (503, True), name


@pytest.mark.slow
async def test_what_an_open_transaction_holds_back_is_told_and_is_no_lag(settings: Settings) -> None:
    """Once it has been open for longer than transactions are."""
    topic = settings.transactions_topic
    async with (
        AIOKafkaProducer(bootstrap_servers=settings.kafka, transactional_id=f"{topic}-open") as holder,
        serving(settings) as client,
    ):
        async with holder.transaction():
            await holder.send_and_wait(topic, b"{}", partition=1)
            for _ in range(3):
                await send(settings, topic, b"{}", partition=1)

            async def held() -> bool:
                partitions = (await get(client, "/dashboard/data/pulse"))["partitions"]
                return [(one["lag"], one["held_back"]) for one in partitions] == [
                    (0, 0),
                    (0, 4),
                    (0, 0),
                    (0, 0),
                ]

            await until(held, within=PATIENCE)

        async def let_go() -> bool:
            partitions = (await get(client, "/dashboard/data/pulse"))["partitions"]
            return [(one["lag"], one["held_back"]) for one in partitions] == [(0, 0), (5, 0), (0, 0), (0, 0)]

        await until(let_go, within=PATIENCE)

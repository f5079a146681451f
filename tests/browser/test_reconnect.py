"""The page while the API or Kafka's records are gone: it says so, comes back, and mends what it missed."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from playwright.async_api import Route, expect

from tests.support.browser.chromium import Visit, unshared
from tests.support.browser.site import Site
from tests.support.installation import until
from tests.support.rows import FLAG, Worker, made, user
from tests.support.serving import DEAD, changed

AWAY = ("Failed to load resource", "ERR_", "503")


async def test_it_comes_back_after_the_api_restarts_and_nothing_is_missing_or_twice(
    site: Site, visit: Visit
) -> None:
    visit.expected = AWAY
    before, while_away, after = (made(user(), number, flag=FLAG) for number in range(3))
    page = await visit.open(site.view())
    await expect(page.locator("#connection")).to_have_text("Live")
    async with Worker(site.settings.kafka, site.settings.anomalies_topic) as worker:
        await worker.publish(before)
        await expect(page.locator("#feed li")).to_have_count(1)

        await site.stop()
        await expect(page.locator("#connection")).to_have_text("Reconnecting…")
        await worker.publish(while_away)
        await site.start()

        await expect(page.locator("#connection")).to_have_text("Live")
        await worker.publish(after)
        await expect(page.locator("#feed li")).to_have_count(3)
    shown = await page.locator("#feed li").evaluate_all("all => all.map(it => it.dataset.id)")
    assert shown == [after.txn.id, while_away.txn.id, before.txn.id]


async def test_a_stream_that_a_browser_gives_up_for_good_is_opened_anew(site: Site, visit: Visit) -> None:
    visit.expected = AWAY
    refused = 0

    async def refuse_twice(route: Route) -> None:
        nonlocal refused
        refused += 1
        await (route.fulfill(status=503, body="") if refused <= 2 else route.continue_())

    await unshared(visit.context)
    await visit.context.route("**/sse/anomalies*", refuse_twice)
    page = await visit.open(site.view())

    await expect(page.locator("#connection")).to_have_text("Live")
    assert refused == 3
    async with Worker(site.settings.kafka, site.settings.anomalies_topic) as worker:
        await worker.publish(made(user(), 1, flag=FLAG))
        await expect(page.locator("#feed li")).to_have_count(1)


async def test_a_gap_is_told_and_mended_from_the_database(site: Site, visit: Visit) -> None:
    visit.expected = AWAY
    before, lost, last = (made(user(), number, flag=FLAG) for number in range(3))
    page = await visit.open(site.view())
    await expect(page.locator("#connection")).to_have_text("Live")
    async with Worker(site.settings.kafka, site.settings.anomalies_topic) as worker:
        await worker.publish(before)
        await expect(page.locator("#feed li")).to_have_count(1)

        await site.stop()
        await site.store(before, lost)
        await worker.publish(lost)
        await _forget_all(site.settings.kafka, site.settings.anomalies_topic)
        await site.start()

        await expect(page.locator("#notices")).to_contain_text("Some flags were no longer in Kafka")
        await expect(page.locator("#feed li")).to_have_count(2)
        await worker.publish(last)
        await expect(page.locator("#feed li")).to_have_count(3)


async def test_a_gap_under_a_users_page_is_told_and_mended_from_the_database(
    site: Site, visit: Visit
) -> None:
    before, lost, after = (made(user(), number, after=timedelta(minutes=number)) for number in range(3))
    settings = site.settings
    await site.mirror(user(), [1230])
    page = await visit.open(site.view(f"/users/{user()}?from_date=2018-01-01"))
    await expect(page.locator("#connection")).to_have_text("Live")
    async with Worker(settings.kafka, settings.scored_topic) as worker:
        await worker.publish(before)
    await expect(page.locator("#rows .row")).to_have_count(1)

    await site.store(before, lost)
    await _make_anew(settings.kafka, settings.scored_topic)

    await expect(page.locator("#notices")).to_contain_text("Some transactions were no longer in Kafka")
    await expect(page.locator("#rows .row").first).to_have_attribute("data-id", lost.txn.id)
    await expect(page.locator("#rows .row")).to_have_count(2)
    async with Worker(settings.kafka, settings.scored_topic) as worker:
        await worker.publish(after)
    await expect(page.locator("#rows .row").first).to_have_attribute("data-id", after.txn.id)
    await expect(page.locator("#rows .row")).to_have_count(3)


async def test_a_users_table_mends_itself_after_a_restart(site: Site, visit: Visit) -> None:
    visit.expected = AWAY
    before, while_away = (made(user(), number) for number in range(2))
    await site.store(before)
    await site.mirror(user(), [1230])
    page = await visit.open(site.view(f"/users/{user()}?from_date=2018-01-01"))
    await expect(page.locator("#connection")).to_have_text("Live")
    await expect(page.locator("#rows .row")).to_have_count(1)

    await site.stop()
    await expect(page.locator("#connection")).to_have_text("Reconnecting…")
    await site.store(while_away)  # and nothing in Kafka: only the database knows
    await site.start()

    await expect(page.locator("#rows .row")).to_have_count(2)


async def test_a_users_table_mends_more_than_a_page(site: Site, visit: Visit) -> None:
    """However new a row is that was known before: one may be dated ahead."""
    visit.expected = AWAY
    rows = [made(user(), number, after=timedelta(minutes=number)) for number in range(400)]
    known, missed, ahead = rows[:120], rows[120:-1], rows[-1]
    await site.store(*known, ahead)
    await site.mirror(user(), [1230])
    page = await visit.open(site.view(f"/users/{user()}?from_date=2018-01-01"))
    await expect(page.locator("#connection")).to_have_text("Live")
    await expect(page.locator(f'[data-id="{ahead.txn.id}"]')).to_have_count(1)

    await site.stop()
    await expect(page.locator("#connection")).to_have_text("Reconnecting…")
    await site.store(*missed)
    await site.start()

    for one in (missed[-1], missed[len(missed) // 2], missed[0]):
        await expect(page.locator(f'[data-id="{one.txn.id}"]')).to_have_count(1)


async def test_while_kafka_is_away_no_number_is_shown_as_if_it_were_of_now(site: Site, visit: Visit) -> None:
    visit.expected = AWAY
    settings = site.settings
    page = await visit.open(site.view())
    await expect(page.locator("#lag")).to_have_text("0")
    await expect(page.locator("#lags .value")).to_have_text(["caught up"] * 4)
    await expect(page.locator("#chart-rate")).to_have_attribute("aria-label", re.compile("now 0"))

    await site.stop()
    site.settings = changed(settings, kafka=DEAD, dependency_seconds=0.5)
    await site.start()

    await expect(page.locator("#lag-aside")).to_have_text("Kafka does not answer.", timeout=20_000)
    for name in ("arrived", "flagged", "lag"):
        await expect(page.locator(f"#{name}")).to_have_text("\u2013")
    for name in ("scored", "share"):
        await expect(page.locator(f"#{name}")).to_have_text("")
    await expect(page.locator("#lags .value")).to_have_text(["not known"] * 4)
    await expect(page.locator("#chart-rate")).to_have_attribute(
        "aria-label", re.compile("last 0"), timeout=20_000
    )

    await site.stop()
    site.settings = settings
    await site.start()
    await expect(page.locator("#lag")).to_have_text("0", timeout=20_000)
    await expect(page.locator("#lags .value")).to_have_text(["caught up"] * 4)
    await expect(page.locator("#chart-rate")).to_have_attribute("aria-label", re.compile("now 0"))


async def test_while_kafka_is_away_nobody_is_said_to_work(site: Site, visit: Visit) -> None:
    visit.expected = AWAY
    page = await visit.open(site.view("/health"))
    await expect(page.locator("#partitions .value")).to_have_text(["caught up at 0"] * 4)

    await site.stop()
    site.settings = changed(site.settings, kafka=DEAD, dependency_seconds=0.5)
    await site.start()

    await expect(page.locator("#workers-aside")).to_have_text("Kafka does not answer.", timeout=20_000)
    await expect(page.locator("#workers")).to_have_text("Not known.")
    await expect(page.locator("#partitions .value")).to_have_text(["not known"] * 4)
    await expect(page.locator("#partitions .name").first).to_have_text("Partition 0")


async def _forget_all(bootstrap: str, topic: str) -> None:
    """Deletes every record of the topic, as retention would."""
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        partitions = [TopicPartition(topic, number) for number in range(4)]
        ends = await consumer.end_offsets(partitions)
    async with _administration(bootstrap) as admin:
        await admin.delete_records(
            {partition: RecordsToDelete(before_offset=end) for partition, end in ends.items() if end}
        )


async def _make_anew(bootstrap: str, topic: str) -> None:
    """Deletes the topic and makes it again, empty."""
    async with _administration(bootstrap) as admin:

        async def is_gone() -> bool:
            return topic not in await admin.list_topics()

        await admin.delete_topics([topic])
        await until(is_gone)
        await admin.create_topics([NewTopic(topic, 4, 1)])


@asynccontextmanager
async def _administration(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()

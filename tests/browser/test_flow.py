"""The whole way, from a producer to the screen, with a real worker; and the page while much flows."""

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer
from playwright.async_api import CDPSession, Page, expect

from tests.support.browser.chromium import Visit
from tests.support.browser.site import Site
from tests.support.detectors import mean_flag
from tests.support.installation import Installation
from tests.support.rows import made, user
from tests.support.traffic import Sent, traffic

log = logging.getLogger(__name__)

RATE = 10_000
FLAGS_EACH = 100
WARM_SECONDS = 10
HUMBLE = 0.3
"""Of the main thread's time."""
GROWTH_BYTES = 8 << 20
"""In half an hour it was seen to rise to 4.5 MB and to fall again."""
FLAG = mean_flag("1266.00", 20, 7.2986, "6330.00")


async def test_a_transaction_that_is_produced_is_scored_and_seen(
    environment: dict[str, str], site: Site, visit: Visit
) -> None:
    one = Installation(environment)
    past = traffic(200, users=1)
    flagged = Sent(str(uuid.uuid4()), past[0].user_id, "9999999.00", "INR", "2024-01-02T00:00:00Z", "paid")
    page = await visit.open(site.view())
    await expect(page.locator("#connection")).to_have_text("Live")
    with one.worker():
        await one.send_transactions(past)
        await one.send([(past[0].key, b"nonsense")])
        await expect(page.locator("#lag-aside")).to_have_text("all caught up", timeout=60_000)

        await one.send_transactions([flagged])

        await expect(page.locator("#feed li").first).to_contain_text("₹9,999,999.00 is")
        await expect(page.locator("#delay")).to_have_text(re.compile(r"[0-9]"))
        await page.get_by_role("link", name="Health").click()
        await expect(page.locator("#workers .chips")).to_have_text("0123")
        await expect(page.locator("#workers strong")).to_have_text(
            re.compile(rf":{environment['TXNWATCH_WEB_PORT']}$")
        )
        await expect(page.locator("#reasons li")).to_have_text(["json1"])


@asynccontextmanager
async def much_flowing(site: Site) -> AsyncIterator[None]:
    """So many transactions a second on the source topic, and one in so many flagged, until the end."""
    stop = asyncio.Event()

    async def flow() -> None:
        async with AIOKafkaProducer(bootstrap_servers=site.settings.kafka, linger_ms=20) as producer:
            began, sent = time.monotonic(), 0
            value = json.dumps(made(user(), 0).shown).encode()
            while not stop.is_set():
                for number in range(sent, int((time.monotonic() - began) * RATE)):
                    await producer.send(site.settings.transactions_topic, value, partition=number % 4)
                    if number % FLAGS_EACH == 0:
                        one = made(user(number % 50), number, hundredths=924_000, flag=FLAG)
                        await producer.send(
                            site.settings.anomalies_topic, one.row, key=one.txn.user_id.encode()
                        )
                    sent = number + 1
                await asyncio.sleep(0.01)

    task = asyncio.create_task(flow())
    try:
        yield
    finally:
        stop.set()
        await task


async def metrics(session: CDPSession) -> dict[str, float]:
    """What Chromium counts of the page, after it has thrown away what nobody holds."""
    await session.send("HeapProfiler.collectGarbage")
    found = await session.send("Performance.getMetrics")
    return {one["name"]: one["value"] for one in found["metrics"]}


async def elements(page: Page) -> int:
    return int(await page.evaluate("document.getElementsByTagName('*').length"))


@pytest.mark.slow
async def test_ten_thousand_a_second_leave_the_page_at_ease(
    site: Site, visit: Visit, pytestconfig: pytest.Config
) -> None:
    page = await visit.open(site.view())
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable")
    async with much_flowing(site):
        await expect(page.locator("#feed li")).to_have_count(60)
        await asyncio.sleep(WARM_SECONDS)
        first, began, shown = await metrics(session), time.monotonic(), await elements(page)

        for part in range(1, 7):
            await asyncio.sleep(pytestconfig.option.page_seconds / 6)
            held = (await metrics(session))["JSHeapUsedSize"] - first["JSHeapUsedSize"]
            log.info("%d/6: grown by %.2f MB, %d elements", part, held / 2**20, await elements(page))

        last, ended = await metrics(session), time.monotonic()
        rate = await page.locator("#arrived").inner_text()
    busy = (last["TaskDuration"] - first["TaskDuration"]) / (ended - began)
    growth = last["JSHeapUsedSize"] - first["JSHeapUsedSize"]
    spent = {name: f"{last[name] - first[name]:.1f} s" for name in last if name.endswith("Duration")}
    log.info("busy %.1f%%, grown by %.2f MB", busy * 100, growth / 2**20)
    assert int(rate.replace(",", "")) > RATE / 2
    assert busy < HUMBLE, spent
    assert growth < GROWTH_BYTES
    assert abs(await elements(page) - shown) < 100

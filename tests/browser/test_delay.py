"""From the producer to the screen: what counts as delay, and how it is written."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from playwright.async_api import Browser, Page, Route, expect

from tests.support.browser.chromium import Visit, see, unshared, visiting
from tests.support.browser.site import Site
from tests.support.installation import until
from tests.support.rows import FLAG, made, user

UNKNOWN = "\u2013"


@pytest.fixture
async def producer(site: Site) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=site.settings.kafka) as one:
        yield one


async def flag(site: Site, producer: AIOKafkaProducer, number: int) -> str:
    """A transaction that is produced now and flagged at once; its id."""
    one = made(user(), number, flag=FLAG)
    source = await producer.send_and_wait(site.settings.transactions_topic, b"{}")
    headers = [("source-partition", b"%d" % source.partition), ("source-offset", b"%d" % source.offset)]
    await site.store(one)
    await producer.send_and_wait(site.settings.anomalies_topic, one.row, headers=headers)
    return one.txn.id


async def measured(site: Site, number: int) -> None:
    """Waits until the API knows so many flags' producing times."""

    async def known() -> bool:
        async with aiohttp.ClientSession() as session, session.get(f"{site.url}/dashboard/data/pulse") as it:
            samples: list[dict[str, Any]] = (await it.json())["samples"]
        return sum(sample["produced"] is not None for sample in samples) >= number

    await until(known)


async def caught_up(page: Page) -> None:
    """Waits until the page has looked: what the API knew before has been told."""
    await expect(page.locator("#lag")).not_to_have_text(UNKNOWN)
    for _ in range(2):
        await page.wait_for_event("requestfinished", lambda request: "/pulse" in request.url)


async def test_a_flag_that_is_painted_late_counts(
    site: Site, visit: Visit, producer: AIOKafkaProducer
) -> None:
    connected = asyncio.Event()

    async def keep(route: Route) -> None:
        await connected.wait()
        await route.continue_()

    await unshared(visit.context)
    await visit.context.route("**/sse/anomalies*", keep)
    page = await visit.open(site.view())
    await caught_up(page)
    began = time.monotonic()
    await flag(site, producer, 1)
    await measured(site, 1)
    await caught_up(page)
    await expect(page.locator("#delay")).to_have_text(UNKNOWN)
    held = (time.monotonic() - began) * 1000

    connected.set()

    await expect(page.locator("#delay-aside")).to_have_text("of the last flag")
    told = await page.locator("#delay").inner_text()
    assert int(told.replace(",", "")) > held * 0.9


async def test_a_time_when_nobody_could_see_the_page_is_no_delay(
    site: Site, visit: Visit, producer: AIOKafkaProducer
) -> None:
    page = await visit.open(site.view())
    await expect(page.locator("#connection")).to_have_text("Live")
    await caught_up(page)
    await see(page, "hidden")
    await flag(site, producer, 1)
    await measured(site, 1)

    await see(page, "visible")
    await expect(page.locator("#feed li")).to_have_count(1)
    await caught_up(page)
    await flag(site, producer, 2)
    await expect(page.locator("#feed li")).to_have_count(2)
    await measured(site, 2)
    await caught_up(page)

    await expect(page.locator("#delay-aside")).to_have_text("of the last flag")


async def test_what_a_reader_held_back_is_no_delay(
    site: Site, visit: Visit, producer: AIOKafkaProducer
) -> None:
    page = await visit.open(site.view())
    await expect(page.locator("#connection")).to_have_text("Live")
    await caught_up(page)
    await page.get_by_role("button", name="Pause", exact=True).click()
    await flag(site, producer, 1)
    await measured(site, 1)
    await page.locator("#held").click()
    await expect(page.locator("#feed li")).to_have_count(1)
    await page.mouse.move(10, 10)
    await caught_up(page)

    await flag(site, producer, 2)
    await expect(page.locator("#feed li")).to_have_count(2)
    await measured(site, 2)
    await caught_up(page)

    await expect(page.locator("#delay-aside")).to_have_text("of the last flag")


async def test_a_long_delay_is_written_as_the_readers_language_has_it(pages: Site, browser: Browser) -> None:
    told = "import('/dashboard/words.js').then(({ duration }) => [950, 9_999, 12_345].map(duration))"
    for language, expected in (("en-US", ["950", "9,999", "12,000"]), ("de-DE", ["950", "9.999", "12.000"])):
        async with visiting(browser, locale=language) as visit:
            visit.expected = ("503",)
            page = await visit.open(pages.view("/users"))
            assert await page.evaluate(told) == expected

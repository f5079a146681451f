"""The list of flags: its order, and that it stays where it is while somebody reads."""

import asyncio
from datetime import timedelta

from playwright.async_api import Browser, Page, Route, expect

from tests.support.browser.chromium import Visit, visiting
from tests.support.browser.site import Site
from tests.support.rows import FLAG, Made, Worker, made, user

AWAY = ("Failed to load resource", "ERR_", "503")


def flags(count: int) -> list[Made]:
    """One a minute, the oldest first."""
    return [made(user(), number, after=timedelta(minutes=number), flag=FLAG) for number in range(count)]


def newest_first(*many: Made) -> list[str]:
    return [one.txn.id for one in sorted(many, key=lambda one: one.txn.txn_date, reverse=True)]


async def shown(page: Page) -> list[str]:
    """The ids of the flags, from the top."""
    found: list[str] = await page.locator("#feed li").evaluate_all("all => all.map(it => it.dataset.id)")
    return found


async def test_flags_of_the_database_go_below_newer_ones_that_came_live(site: Site, visit: Visit) -> None:
    before, live = flags(4)[:3], flags(4)[3]
    await site.store(*before)
    asked = asyncio.Event()

    async def keep(route: Route) -> None:
        await asked.wait()
        await route.continue_()

    await visit.context.route("**/anomalies?limit=*", keep)
    page = await visit.open(site.view())
    await expect(page.locator("#connection")).to_have_text("Live")
    async with Worker(site.settings.kafka, site.settings.anomalies_topic) as worker:
        await worker.publish(live)
        await expect(page.locator("#feed li")).to_have_count(1)

        asked.set()

        await expect(page.locator("#feed li")).to_have_count(4)
    assert await shown(page) == newest_first(live, *before)


async def test_a_flag_of_an_old_transaction_goes_where_it_belongs(site: Site, visit: Visit) -> None:
    late, *others = flags(3)
    await site.store(*others)
    page = await visit.open(site.view())
    await expect(page.locator("#connection")).to_have_text("Live")
    await expect(page.locator("#feed li")).to_have_count(2)

    async with Worker(site.settings.kafka, site.settings.anomalies_topic) as worker:
        await worker.publish(late)
        await expect(page.locator("#feed li")).to_have_count(3)

    assert await shown(page) == newest_first(late, *others)


async def test_old_flags_are_seen_to_come_though_there_are_enough_newer_ones(
    site: Site, visit: Visit
) -> None:
    old, newer = flags(71)[:1], flags(71)[1:]
    await site.store(*newer)
    page = await visit.open(site.view())
    await expect(page.locator("#connection")).to_have_text("Live")
    await expect(page.locator("#feed li")).to_have_count(60)

    async with Worker(site.settings.kafka, site.settings.anomalies_topic) as worker:
        await worker.publish(*old)
        await expect(page.locator("#feed li").last).to_have_attribute("data-id", old[0].txn.id)

    assert await shown(page) == newest_first(*newer[-59:], *old)


async def test_nothing_moves_while_it_is_paused_whatever_is_loaded(site: Site, visit: Visit) -> None:
    visit.expected = AWAY
    first, missed, last = flags(3)
    await site.store(first)
    page = await visit.open(site.view())
    await expect(page.locator("#feed li")).to_have_count(1)
    pause = page.get_by_role("button", name="Pause", exact=True)
    await pause.click()
    await expect(pause).to_have_attribute("aria-pressed", "true")

    await site.stop()
    await expect(page.locator("#connection")).to_have_text("Reconnecting…")
    await site.store(missed)
    await site.start()
    held = page.get_by_role("button", name="1 new flag held back: show")
    await expect(held).to_be_visible()
    await expect(page.locator("#connection")).to_have_text("Live")
    async with Worker(site.settings.kafka, site.settings.anomalies_topic) as worker:
        await worker.publish(last)
        held = page.get_by_role("button", name="2 new flags held back: show")
        await expect(held).to_be_visible()

    assert await shown(page) == newest_first(first)
    await held.click()
    await expect(page.locator("#feed li")).to_have_count(3)
    assert await shown(page) == newest_first(first, missed, last)
    await expect(pause).to_have_attribute("aria-pressed", "false")


async def test_on_a_phone_the_feed_stays_where_it_is_while_somebody_reads_down_in_it(
    site: Site, browser: Browser
) -> None:
    *many, new = flags(30)
    await site.store(*many)
    size = {"width": 360, "height": 740}
    async with visiting(browser, viewport=size, has_touch=True, is_mobile=True) as visit:
        page = await visit.open(site.view())
        await expect(page.locator("#connection")).to_have_attribute("data-state", "open")
        await expect(page.locator("#feed li")).to_have_count(len(many))
        await expect(page.locator("#lags li")).to_have_count(4)  # they stand above the feed
        read = page.locator("#feed li").nth(9)
        await read.evaluate("it => it.scrollIntoView({ block: 'center' })")
        before = await read.bounding_box()
        number = await read.get_attribute("data-id")

        async with Worker(site.settings.kafka, site.settings.anomalies_topic) as worker:
            await worker.publish(new)
            await expect(page.locator("#held")).to_have_text("1 new flag held back: show")

        assert await page.locator(f'[data-id="{number}"]').bounding_box() == before
        await page.locator("#held").tap()
        await expect(page.locator("#feed li").first).to_have_attribute("data-id", new.txn.id)
        await expect(page.locator("#feed li").first).to_be_in_viewport()


async def test_on_a_phone_flags_come_when_the_top_is_in_sight_again(site: Site, browser: Browser) -> None:
    *many, new = flags(30)
    await site.store(*many)
    size = {"width": 360, "height": 740}
    async with visiting(browser, viewport=size, has_touch=True, is_mobile=True) as visit:
        page = await visit.open(site.view())
        await expect(page.locator("#connection")).to_have_attribute("data-state", "open")
        await expect(page.locator("#feed li")).to_have_count(len(many))
        await expect(page.locator("#lags li")).to_have_count(4)
        await page.locator("#feed li").nth(9).evaluate("it => it.scrollIntoView({ block: 'center' })")
        async with Worker(site.settings.kafka, site.settings.anomalies_topic) as worker:
            await worker.publish(new)
            await expect(page.locator("#held")).to_be_visible()

        await page.evaluate("scrollTo(0, 0)")

        await expect(page.locator("#feed li").first).to_have_attribute("data-id", new.txn.id)
        await expect(page.locator("#held")).to_be_hidden()

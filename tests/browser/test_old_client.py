"""The old web client's calls, made by a page of another origin."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Page

from tests.api.rows import Worker, made, user
from tests.browser.chromium import Visit
from tests.browser.site import Site

ALICE = user(1)
EVER = "{from_date: '2018-01-01'}"


@asynccontextmanager
async def old_client(visit: Visit, site: Site) -> AsyncIterator[Page]:
    """Its page, which has asked for the users and chosen one."""

    async def answer(_: web.Request) -> web.FileResponse:
        return web.FileResponse(Path(__file__).with_name("old_client.html"))

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app) as server:
        page = await visit.context.new_page()
        await page.goto(f"http://localhost:{server.port}/?api={site.url}")
        await page.evaluate(f"start().then(() => {{ user = '{ALICE}'; }})")
        yield page


async def test_its_list_of_users_is_whole_at_one_asking(pages: Site, visit: Visit) -> None:
    people = {user(number) for number in range(1, 150)}
    await pages.store(*(made(one) for one in people))

    async with old_client(visit, pages) as page:
        assert set(await page.evaluate("seen.users")) == people


async def test_it_pages_to_the_empty_page_and_keeps_its_cursor_when_a_filter_changes(
    site: Site, visit: Visit
) -> None:
    rows = [made(ALICE, number, hundredths=number, after=timedelta(seconds=number)) for number in range(250)]
    await site.store(*rows)

    async with old_client(visit, site) as page:
        await page.evaluate(f"page({EVER})")
        # Its cursor goes on under other filters: what follows is older than what was seen, and passes them.
        await page.evaluate("page({from_date: '2018-01-01', min_amount: '1.00', max_amount: '1.20'})")
        assert await page.evaluate("seen.pages") == [100, 21]
        await page.evaluate(f"page({EVER})")
        await page.evaluate(f"page({EVER})")
        seen = await page.evaluate("seen")

    assert seen["pages"] == [100, 21, 100, 0]
    assert seen["ended"]
    assert [bool(cursor) for cursor in seen["cursors"]] == [True, True, True, False]
    expected = [*range(249, 149, -1), *range(120, 99, -1), *range(99, -1, -1)]
    assert [row["id"] for row in seen["rows"]] == [rows[number].txn.id for number in expected]
    assert seen["sources"] == 4


async def test_it_hears_unnamed_events_on_each_stream_that_it_opens(site: Site, visit: Visit) -> None:
    live = [made(ALICE, number) for number in range(2)]
    async with (
        old_client(visit, site) as page,
        Worker(site.settings.kafka, site.settings.scored_topic) as worker,
    ):
        for number, one in enumerate(live):
            await page.evaluate(f"page({EVER}).then(() => seen.open)")
            await worker.publish(one)
            await page.wait_for_function(f"seen.live.length === {number + 1}")

        assert await page.evaluate("seen.live") == [one.shown for one in live]


async def test_it_keeps_its_cursor_when_dates_change(site: Site, visit: Visit) -> None:
    rows = [made(ALICE, number, after=timedelta(hours=number)) for number in range(250)]
    await site.store(*rows)

    async with old_client(visit, site) as page:
        await page.evaluate(f"page({EVER})")
        # What follows is of these days, and older than what was seen, which is of these days as well.
        await page.evaluate("page({from_date: '2018-04-04', to_date: '2018-04-10'})")
        await page.evaluate("page({from_date: '2018-01-01', to_date: '2018-04-02'})")
        await page.evaluate(f"page({EVER})")
        seen = await page.evaluate("seen")

    assert seen["pages"] == [100, 78, 48, 0]
    assert seen["ended"]
    expected = [*range(249, 71, -1), *range(47, -1, -1)]
    assert [row["id"] for row in seen["rows"]] == [rows[number].txn.id for number in expected]


async def test_its_stream_comes_back_after_the_api_restarts(site: Site, visit: Visit) -> None:
    before, while_away, after = (made(ALICE, number) for number in range(3))
    async with (
        old_client(visit, site) as page,
        Worker(site.settings.kafka, site.settings.scored_topic) as worker,
    ):
        await page.evaluate(f"page({EVER}).then(() => seen.open)")
        await worker.publish(before)
        await page.wait_for_function("seen.live.length === 1")

        await site.stop()
        await page.wait_for_function("source.readyState === EventSource.CONNECTING")
        await worker.publish(while_away)
        await site.start()
        await page.wait_for_function("source.readyState === EventSource.OPEN")
        await worker.publish(after)
        await page.wait_for_function("seen.live.length === 3")

        assert await page.evaluate("seen.live") == [one.shown for one in (before, while_away, after)]
        assert await page.evaluate("seen.sources") == 1

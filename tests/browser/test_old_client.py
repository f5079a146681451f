"""The old web client's calls, made by a page of another origin."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Locator, Page, Response, expect

from tests.support.browser.chromium import Visit
from tests.support.browser.site import Site
from tests.support.rows import FLAG, Worker, made, user
from tests.support.serving import PATIENCE

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


@pytest.fixture
async def built_client(pytestconfig: pytest.Config) -> AsyncIterator[Callable[[str], str]]:
    """Where the client itself is served, told the address of the API: its build has it as a constant."""
    folder = pytestconfig.option.old_client
    if folder is None:
        pytest.skip("the built client is not part of the project: --old-client names its folder")
    api = ""

    async def answer(request: web.Request) -> web.StreamResponse:
        path = Path(folder) / (request.match_info["path"] or "index.html")
        if path.suffix != ".js":
            return web.FileResponse(path)
        text = re.sub(r'"https://[^"/]+"', f'"{api}"', path.read_text())
        return web.Response(text=text, content_type="text/javascript")

    def tell(url: str) -> str:
        nonlocal api
        api = url
        return f"http://localhost:{server.port}/"

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        yield tell


@pytest.mark.slow
async def test_the_client_itself_works_unchanged(
    site: Site, visit: Visit, built_client: Callable[[str], str]
) -> None:
    rows = [made(ALICE, n, hundredths=150_000 + n, after=timedelta(minutes=n)) for n in range(250)]
    await site.store(*rows)
    live = made(ALICE, 250, hundredths=987_654, flag=FLAG, after=timedelta(minutes=250))
    answers: list[list[str]] = []
    answered = asyncio.Event()

    async def note(response: Response) -> None:
        if "/transactions?" in response.url:
            answers.append([row["id"] for row in (await response.json())["transactions"]])
            answered.set()

    def field(label: str) -> Locator:
        named = page.locator(".v-input", has=page.locator("label", has_text=re.compile(f"^{label}$")))
        return named.locator("input")

    page = await visit.context.new_page()
    page.on("response", note)
    await page.goto(built_client(site.url))
    await page.get_by_text("Healthy").wait_for()  # it asks every ten seconds
    await page.locator(".v-select").click()
    await page.locator(".v-overlay .v-list-item", has_text=ALICE).click()
    for label, date in (("From", "04/01/2018"), ("To", "04/03/2018")):
        await field(label).click()
        await field(label).fill(date)
        for key in ("Enter", "Escape"):
            await field(label).press(key)
    button = page.get_by_role("button", name="Load Transactions")
    await button.click()
    await expect(page.locator("tbody")).to_contain_text(rows[249].txn.id)
    await field("Limit").fill("200")  # a stream more with each load, and a browser opens six at a time
    await field("Min Amount").fill("1500.1")  # it keeps its cursor
    while not await page.get_by_text("No more transactions!").count():
        answered.clear()
        await button.click()
        async with asyncio.timeout(PATIENCE):
            await answered.wait()
        await expect(button.locator(".v-btn__loader")).to_have_count(0)

    async with Worker(site.settings.kafka, site.settings.scored_topic) as worker:
        await worker.publish(live)
    await page.locator(".v-table__wrapper").evaluate("table => { table.scrollTop = 0; }")
    flagged = page.locator("tbody tr", has_text="9876.54").first
    await expect(flagged.locator(".mdi-alert")).to_be_visible()
    assert [one for many in answers for one in many] == [one.txn.id for one in reversed(rows[10:])]
    assert len(answers[0]) == 20
    assert answers[-1] == []

"""A tab that nobody sees gives its connection up; when it is seen again nothing is missing.

The page's clock is moved on; the server's is not, nor that of the worker that tabs share: these have none.
"""

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, Request, expect

from tests.support.browser.chromium import Visit, see, unshared
from tests.support.browser.site import Site
from tests.support.rows import FLAG, Worker, made, user

LONG = "03:00:00"


@pytest.fixture
async def visit(visit: Visit) -> Visit:
    await visit.context.clock.install()
    await unshared(visit.context)
    return visit


def streams(page: Page) -> list[Request]:
    """Every request for a stream from now on."""
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request) if "/sse/" in request.url else None)
    return asked


async def begins_anew(request: Request) -> bool:
    """Whether it asks for nothing of the past."""
    return not urlsplit(request.url).query and "last-event-id" not in await request.all_headers()


async def test_a_hidden_tab_sleeps_and_wakes_with_the_newest_flags(site: Site, visit: Visit) -> None:
    before, while_asleep, after = (
        made(user(), number, after=timedelta(minutes=number), flag=FLAG) for number in range(3)
    )
    page = await visit.open(site.view())
    await expect(page.locator("#connection")).to_have_text("Live")
    asked = streams(page)
    async with Worker(site.settings.kafka, site.settings.anomalies_topic) as worker:
        await site.store(before)
        await worker.publish(before)
        await expect(page.locator("#feed li")).to_have_count(1)

        await see(page, "hidden")
        await page.clock.fast_forward(LONG)
        await expect(page.locator("#connection")).to_have_text("Asleep while hidden")
        await site.store(while_asleep)
        await worker.publish(while_asleep)
        await see(page, "visible")

        await expect(page.locator("#connection")).to_have_text("Live")
        await expect(page.locator("#feed li")).to_have_count(2)
        await worker.publish(after)
        await expect(page.locator("#feed li")).to_have_count(3)
    shown = await page.locator("#feed li").evaluate_all("all => all.map(it => it.dataset.id)")
    assert shown == [after.txn.id, while_asleep.txn.id, before.txn.id]
    assert [await begins_anew(request) for request in asked] == [True]


async def test_a_machine_that_slept_does_not_ask_for_all_that_it_missed(site: Site, visit: Visit) -> None:
    before, while_asleep = (made(user(), number, flag=FLAG) for number in range(2))
    page = await visit.open(site.view())
    await expect(page.locator("#connection")).to_have_text("Live")
    asked = streams(page)
    async with Worker(site.settings.kafka, site.settings.anomalies_topic) as worker:
        await worker.publish(before)
        await expect(page.locator("#feed li")).to_have_count(1)
    await site.store(before, while_asleep)

    await page.clock.fast_forward(LONG)

    await expect(page.locator("#feed li")).to_have_count(2)
    assert [await begins_anew(request) for request in asked] == [True]


async def test_a_users_table_wakes_with_all_rows(site: Site, visit: Visit) -> None:
    rows = [made(user(), number, after=timedelta(minutes=number)) for number in range(250)]
    await site.store(*rows[:20])
    await site.mirror(user(), [1230])
    page = await visit.open(site.view(f"/users/{user()}?from_date=2018-01-01"))
    await expect(page.locator("#connection")).to_have_text("Live")
    await expect(page.locator("#rows .row")).to_have_count(20)
    asked = streams(page)

    await see(page, "hidden")
    await page.clock.fast_forward(LONG)
    await expect(page.locator("#connection")).to_have_text("Asleep while hidden")
    await site.store(*rows[20:])
    await see(page, "visible")

    await expect(page.locator("#rows .row")).to_have_count(250)
    shown = await page.locator("#rows .row").evaluate_all("all => all.map(it => it.dataset.id)")
    assert shown == [row.txn.id for row in reversed(rows)]
    assert [await begins_anew(request) for request in asked] == [True]

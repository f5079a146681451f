"""Tabs of one browser share their live streams, and one that is not seen holds none."""

import re

import aiohttp
from playwright.async_api import expect

from tests.support.browser.chromium import Visit, see
from tests.support.browser.site import Site
from tests.support.installation import until
from tests.support.rows import FLAG, Worker, made, user


async def streams(site: Site) -> int:
    """How many event streams are open at the API."""
    async with aiohttp.ClientSession() as session, session.get(f"{site.url}/metrics") as response:
        text = await response.text()
    counts = re.findall(r"^txnwatch_api_sse_clients{[^}]*} (\S+)$", text, re.MULTILINE)
    return int(sum(map(float, counts)))


async def has(site: Site, count: int) -> None:
    """Waits until so many streams are open."""

    async def holds() -> bool:
        return await streams(site) == count

    await until(holds)


async def test_seven_tabs_are_live_over_one_stream_and_hidden_they_hold_none(
    site: Site, visit: Visit
) -> None:
    """Each had one of its own: six took all that a browser opens, and the seventh tab loaded nothing."""
    visit.expected = ("503",)  # of Kafka's numbers, where seven ask at once and much else runs
    tabs = [await visit.open(site.view()) for _ in range(7)]
    async with Worker(site.settings.kafka, site.settings.anomalies_topic) as worker:
        for tab in tabs:
            await expect(tab.locator("#connection")).to_have_text("Live")
        assert await streams(site) == 1
        await worker.publish(made(user(), 1, flag=FLAG))
        for tab in tabs:
            await expect(tab.locator("#feed li")).to_have_count(1)

        for tab in tabs[1:]:
            await see(tab, "hidden")
        await worker.publish(made(user(), 2, flag=FLAG))
        await expect(tabs[0].locator("#feed li")).to_have_count(2)
        await see(tabs[0], "hidden")
        await has(site, 0)
        await expect(tabs[0].locator("#connection")).to_have_text("Asleep while hidden")

        missed = made(user(), 3, flag=FLAG)
        await site.store(missed)
        await worker.publish(missed)
        await see(tabs[0], "visible")
        await expect(tabs[0].locator("#feed li")).to_have_count(3)
    await expect(tabs[1].locator("#feed li")).to_have_count(1)


async def test_tabs_that_show_different_users_leave_connections_for_their_requests(
    site: Site, visit: Visit
) -> None:
    people = [user(number) for number in range(6)]
    await site.store(*(made(one) for one in people))
    for one in people:
        await site.mirror(one, [1230])

    tabs = [await visit.open(site.view(f"/users/{one}?from_date=2018-01-01")) for one in people]

    for tab in tabs:
        await expect(tab.locator("#rows .row")).to_have_count(1)
    for tab in tabs[4:]:
        await expect(tab.locator("#connection")).to_have_text("Every 5 seconds")
    assert await streams(site) == 4
    await tabs[0].close()
    await expect(tabs[4].locator("#connection")).to_have_text("Live")

"""At 360 pixels, with what shows only now and then: nothing overflows, and axe finds nothing serious."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from tests.support.browser.chromium import visiting
from tests.support.browser.site import Site
from tests.support.browser.views import VIEWS, filled
from tests.support.rows import FLAG, Worker, made, user

WIDTH = 360
OVERFLOWING = """[...document.querySelectorAll("#connection, .notice, #held, #suggestions, .problem, dialog")]
  .filter((one) => one.checkVisibility())
  .filter((one) => {
    const { left, right } = one.getBoundingClientRect();
    return left < 0 || right > innerWidth || one.scrollWidth > one.clientWidth;
  })
  .map((one) => one.outerHTML.slice(0, 120))"""
"""What lies over the page makes it no wider, however wide it is itself."""
EXPECTED = ("Failed to load resource", "ERR_", "422")


async def with_a_notice(site: Site, page: Page) -> None:
    await expect(page.locator("#rows .row")).to_have_count(31)
    await site.stop()
    await page.get_by_role("button", name="Export CSV").click()
    await expect(page.locator("#notices")).to_contain_text("The API does not answer.")


async def with_flags_held_back(site: Site, page: Page) -> None:
    await expect(page.locator("#connection")).to_have_attribute("data-state", "open")
    await expect(page.locator("#feed li")).to_have_count(1)
    await page.get_by_role("button", name="Pause", exact=True).click()
    async with Worker(site.settings.kafka, site.settings.anomalies_topic) as worker:
        await worker.publish(made(user(), 31, flag=FLAG))
    held = page.get_by_role("button", name="1 new flag held back: show")
    await expect(held).to_be_visible()
    await held.scroll_into_view_if_needed()


async def with_suggestions(site: Site, page: Page) -> None:
    await site.store(*(made(user(number)) for number in range(2, 8)))
    search = page.get_by_role("combobox", name="Find a user by id")
    await search.focus()
    await expect(page.get_by_role("option")).to_have_count(7)
    await search.press("ArrowDown")
    await expect(page.locator("[aria-selected=true]")).to_have_count(1)


async def with_filters_that_make_no_sense(_: Site, page: Page) -> None:
    await page.get_by_label("At least").fill("muchmuchmuchmuchmuchmuchmuch")
    await page.get_by_label("At most").fill("more")
    await expect(page.locator("#filters-problem")).to_contain_text("At most: must be an amount")


async def with_details(_: Site, page: Page) -> None:
    await page.locator("#rows .row.flagged").get_by_role("button").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog", name="Transaction")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("view", "shown"),
    [
        ("user", with_a_notice),
        ("live", with_flags_held_back),
        ("users", with_suggestions),
        ("user", with_filters_that_make_no_sense),
        ("user", with_details),
    ],
)
async def test_on_a_narrow_screen_all_fits_and_can_be_read(
    site: Site, browser: Browser, view: str, shown: Callable[[Site, Page], Awaitable[None]], theme: Any
) -> None:
    await filled(site)
    size = {"width": WIDTH, "height": 800}
    async with visiting(browser, color_scheme=theme, viewport=size, reduced_motion="reduce") as visit:
        visit.expected = EXPECTED
        page = await visit.open(site.view(VIEWS[view]))
        await shown(site, page)

        found = (await Axe().run(page)).response["violations"]

        serious = [one for one in found if one["impact"] in ("serious", "critical")]
        assert not serious, [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in serious]
        assert await page.evaluate("document.documentElement.scrollWidth") <= WIDTH
        assert await page.evaluate(OVERFLOWING) == []

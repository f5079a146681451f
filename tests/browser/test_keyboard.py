"""By keyboard alone: the tab key leads to all that can be used, and shows where it is."""

from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from playwright.async_api import Page, expect

from tests.support.browser.chromium import Visit
from tests.support.browser.site import Site
from tests.support.browser.views import SETTLED, VIEWS, filled

MOST = 200
"""Presses: more than any view here has places to stop at."""
REMEMBER = """() => {
  const mark = (element) => ["", "::after"].map((part) => {
    const style = getComputedStyle(element, part || null);
    const outline = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    return `${outline && style.outlineColor} ${style.boxShadow}`;
  }).join();
  const name = (element) => element.outerHTML.slice(0, 120);
  const all = [...document.querySelectorAll("a[href], button, input, summary")];
  const usable = all.filter((element) => element.checkVisibility() && !element.disabled);
  const before = new Map(usable.map((element) => [element, mark(element)]));
  const reached = new Set();
  const unmarked = new Set();
  Object.assign(window, {
    note() {
      const element = document.activeElement;
      if (element === document.body || (reached.size > 1 && element === [...reached][0])) return false;
      reached.add(element);
      const whole = element.matches(":focus"); // and not its calendar's button, which the browser draws
      if (whole && before.get(element) === mark(element)) unmarked.add(element);
      return true;
    },
    walked: () => ({
      usable: usable.length,
      missed: usable.filter((element) => element.isConnected && !reached.has(element)).map(name),
      unmarked: [...unmarked].map(name),
    }),
  });
}"""
"""What there is to use, and how each of it looks without the focus."""


async def walked(page: Page) -> dict[str, Any]:
    """Goes from the page's beginning to its end by the tab key."""
    await page.evaluate(REMEMBER)
    for _ in range(MOST):
        await page.keyboard.press("Tab")
        if not await page.evaluate("note()"):
            break
    found: dict[str, Any] = await page.evaluate("walked()")
    return found


@pytest.mark.parametrize(("view", "usable"), [("live", 9), ("users", 9), ("user", 54), ("health", 9)])
async def test_the_tab_key_leads_to_all_that_can_be_used_and_shows_where_it_is(
    site: Site, visit: Visit, view: str, usable: int
) -> None:
    await filled(site)
    async with AIOKafkaProducer(bootstrap_servers=site.settings.kafka) as producer:
        for _ in range(2):
            await producer.send_and_wait(site.settings.dlq_topic, b"{", headers=[("reason", b"json")])
    page = await visit.open(site.view(VIEWS[view]))
    await expect(page.locator(SETTLED[view]).first).to_be_visible()
    if view == "user":
        await expect(page.locator("#rows .row")).to_have_count(31)
    if view == "health":
        await expect(page.locator("#refused-last summary")).to_have_count(2)

    found = await walked(page)

    assert found == {"usable": usable, "missed": [], "unmarked": []}

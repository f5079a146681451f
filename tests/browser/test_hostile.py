"""What a message holds is shown, and never run."""

from typing import Any

from playwright.async_api import expect

from tests.support.browser.chromium import Visit
from tests.support.browser.site import Site
from tests.support.rows import FLAG, Worker, made, user

MARKUP = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>'
TURNED = "\u202epaid\u2066"
HOSTILE: dict[str, Any] = {
    "note": MARKUP,
    MARKUP: "</pre><iframe src=javascript:parent.ran=1>",
    "__proto__": {"ran": 1},
    "link": "javascript:window.ran=1",
    "detector": MARKUP,
    "mean": MARKUP,
    "bidi": "\u202egnp.exe",
}


async def test_hostile_meta_data_is_shown_as_text_and_nothing_runs(site: Site, visit: Visit) -> None:
    stored = made(user(), 1, meta_data=HOSTILE, status=TURNED)
    flagged = made(user(), 2, meta_data=HOSTILE, status=TURNED, flag=FLAG)
    await site.store(stored)
    await site.mirror(user(), [1230])
    page = await visit.open(site.view(f"/users/{user()}?from_date=2018-01-01"))
    await expect(page.locator("#connection")).to_have_text("Live")
    async with Worker(site.settings.kafka, site.settings.scored_topic) as worker:
        await worker.publish(flagged)
        await expect(page.locator("#rows .row")).to_have_count(2)

    for number in range(2):
        await page.locator("#rows .row").nth(number).get_by_role("button").click()
        await expect(page.locator("#details pre")).to_contain_text("window.ran=1")
        await page.keyboard.press("Escape")

    await expect(page.locator("#details pre")).to_contain_text(r"\u202egnp.exe")
    await expect(page.locator("#details dd bdi").nth(1)).to_have_text(r"\u202epaid\u2066")
    await expect(page.locator("#rows .status bdi").first).to_have_text(r"\u202epaid\u2066")
    assert await page.evaluate("window.ran ?? ({}).ran ?? null") is None
    assert await page.locator("main img, main iframe, main script, dialog img, dialog iframe").count() == 0


async def test_the_policy_stops_what_would_get_into_the_page_all_the_same(site: Site, visit: Visit) -> None:
    visit.expected = ("Trusted", "HTMLScriptElement")
    page = await visit.open(site.view("/health"))

    refused = await page.evaluate(
        """() => {
          const inline = document.createElement("script");
          inline.append("window.ran = 1");
          document.body.append(inline);
          const tries = [
            () => { document.body.innerHTML = "<b>"; },
            () => document.body.setAttribute("onclick", "window.ran = 1"),
          ];
          return tries.map((one) => {
            try {
              return one();
            } catch (error) {
              return error.name;
            }
          });
        }"""
    )

    assert refused == ["TypeError", "TypeError"]
    assert await page.evaluate("window.ran ?? null") is None

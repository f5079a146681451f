"""Amounts in their own currency, whatever their size; times with their zone; numbers as they are typed."""

import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from playwright.async_api import Browser, expect

from tests.support.browser.charts import blots
from tests.support.browser.chromium import Visit, visiting
from tests.support.browser.site import Site
from tests.support.detectors import mean_flag
from tests.support.rows import Made, made, user

EVER = "from_date=2018-01-01"
MOST = 10**20 - 1
"""In hundredths: 18 digits and two decimals."""
CUT = """[...document.querySelectorAll("#rows .row > *, #recent li, dd")]
  .filter((one) => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1)
  .map((one) => one.outerHTML)"""
WIDTHS = (360, 1280)


def spent(number: int, hundredths: int, currency: str, *, whose: str = user(), flagged: bool = False) -> Made:
    """A transaction of one of the currencies, one an hour."""
    flag = mean_flag("4500000.00", 20, 222_222_222.2, "22500000.00") if flagged else None
    at = timedelta(hours=number)
    return made(whose, number, hundredths=hundredths, after=at, currency=currency, flag=flag)


@pytest.mark.parametrize("width", WIDTHS)
async def test_no_amount_is_cut_however_large(pages: Site, browser: Browser, width: int) -> None:
    rows = [spent(number, 450_000_000 + number, "IDR") for number in range(30)]
    await pages.store(*rows, spent(30, MOST, "IDR", flagged=True))
    await pages.mirror(user(), [MOST] * 20)
    async with visiting(browser, viewport={"width": width, "height": 800}) as visit:
        visit.expected = ("503",)
        page = await visit.open(pages.view(f"/users/{user()}?{EVER}"))
        await expect(page.locator("#rows .row").first).to_contain_text("999,999,999,999,999,999.99")
        # Exactly five times the mean: no number on the way is a float's.
        await expect(page.locator("#window-facts")).to_contain_text("4,999,999,999,999,999,999.95")
        assert await page.evaluate(CUT) == []
        chart = page.locator("#chart-amounts")
        await expect(chart.locator("canvas")).to_be_visible()
        assert min(blot.left for blot in await blots(chart, "soft")) > 0  # beside the axis

        await page.get_by_label("At most").fill("5,000,000")
        await expect(page.locator("#rows .row")).to_have_count(30)
        await page.goto(pages.view("/users"))
        await expect(page.locator("#recent li")).to_contain_text("999,999,999,999,999,999.99")
        assert await page.evaluate(CUT) == []


FIGURE = """async ([user, currency]) => {
  const { Series } = await import(new URL("series.js", document.scripts[0].src));
  const series = new Series();
  await series.load(user, { from_date: "2018-01-01" }, AbortSignal.timeout(10_000));
  const { marks } = series.figure({ log: false, held: null, currency });
  return [series.currencies, marks.map(({ values }) => values)];
}"""


async def test_each_amount_has_its_own_currency_and_a_chart_has_one(pages: Site, visit: Visit) -> None:
    visit.expected = ("503",)
    await pages.store(
        *(spent(2 * at, 1_000, "EUR") for at in range(20)),
        *(spent(2 * at + 1, 170_000, "JPY") for at in range(25)),
    )
    for whose, hundredths in ((user(), 170_000), (f"{user()}:JPY", 170_000), (f"{user()}:EUR", 1_000)):
        await pages.mirror(whose, [hundredths] * 20, currencies="JPY EUR" if whose == user() else "")
    page = await visit.open(pages.view(f"/users/{user()}?{EVER}"))

    await expect(page.locator("#window-title")).to_have_text("Window now: JPY")
    await expect(page.locator("#window-facts")).to_contain_text("The next is flagged above¥8,500Mean¥1,700")
    await expect(page.locator("#rows .number").nth(0)).to_have_text("¥1,700")
    await expect(page.locator("#rows .number").nth(20)).to_have_text("€10.00")
    await expect(page.get_by_label("Currency of the chart")).to_have_value("JPY")
    await page.get_by_label("Currency of the chart").select_option("EUR")
    await expect(page.locator("#window-title")).to_have_text("Window now: EUR")
    await expect(page.locator("#window-facts")).to_contain_text("The next is flagged above€50.00Mean€10.00")
    label = re.compile("^20 amounts from 2018-04-01 00:00:00 to 2018-04-02 14:00:00 UTC, none flagged")
    await expect(page.locator("#chart-amounts")).to_have_attribute("aria-label", label)
    currencies, [threshold, amounts, mean, _] = await page.evaluate(FIGURE, [user(), "JPY"])
    assert currencies == ["JPY", "EUR"]
    assert set(amounts) == set(mean[20:]) == {1_700}
    assert set(threshold[20:]) == {8_500}


async def test_times_are_utc_until_the_readers_are_chosen_and_always_say_which(
    pages: Site, browser: Browser
) -> None:
    await pages.store(*(spent(at, 1_000, "EUR", flagged=at == 11) for at in range(12)))
    await pages.mirror(user(), [1_000] * 12)
    async with visiting(browser, timezone_id="Asia/Kolkata") as visit:
        visit.expected = ("503",)
        page = await visit.open(pages.view(f"/users/{user()}?{EVER}"))
        head, time, chart = (page.locator(one) for one in ("#time-head", "#rows .time", "#chart-amounts"))
        await expect(time.first).to_have_text("2018-04-01 11:00:00")
        await expect(head).to_have_text("Time (UTC)")
        await expect(chart).to_have_attribute("aria-label", re.compile("to 2018-04-01 11:00:00 UTC"))

        await page.get_by_role("button", name="Times: UTC").click()

        await expect(page.get_by_role("button", name="Times: local")).to_be_visible()
        await expect(time.first).to_have_text("2018-04-01 16:30:00")
        await expect(head).to_have_text("Time (Asia/Calcutta)")
        await expect(chart).to_have_attribute(
            "aria-label", re.compile("to 2018-04-01 16:30:00 Asia/Calcutta")
        )
        await expect(page.get_by_label("UTC day: From")).to_have_value("2018-01-01")
        await page.goto(pages.view("/users"))
        await expect(page.locator("#recent li")).to_contain_text("2018-04-01 16:30:00 Asia/Calcutta")


TYPED = """async (texts) => {
  const { typedNumber, typeable } = await import(new URL("words.js", document.scripts[0].src));
  return [...texts.map(typedNumber), typeable("12.30")];
}"""


async def test_numbers_are_read_as_the_readers_language_shows_them(pages: Site, browser: Browser) -> None:
    await pages.store(*(spent(at, 123_400 + at * 10, "EUR") for at in range(12)))
    await pages.mirror(user(), [1_000] * 12)
    texts = ["12,30", "1.234", "1.234,5", "12.30", "1,234.50", "abc", "1,2,3"]
    for language, typed, read in (
        ("de-DE", "1.234,50", ["12.30", "1234", "1234.5", "12.30", "1,234.50", "abc", "1,2,3", "12,30"]),
        ("en-US", "1,234.50", ["12,30", "1.234", "1.234,5", "12.30", "1234.50", "abc", "1,2,3", "12.30"]),
    ):
        async with visiting(browser, locale=language) as visit:
            visit.expected = ("503",)
            page = await visit.open(pages.view(f"/users/{user()}?{EVER}"))
            await expect(page.locator("#rows .row")).to_have_count(12)

            await page.get_by_label("At least").fill(typed)

            await expect(page.locator("#rows .row")).to_have_count(7)
            assert parse_qs(page.url.partition("?")[2])["min_amount"] == ["1234.50"]
            await page.reload()
            await expect(page.get_by_label("At least")).to_have_value(
                "1234,50" if language == "de-DE" else "1234.50"
            )
            assert await page.evaluate(TYPED, texts) == read


PAINTED = """() => {
  const legend = getComputedStyle(document.querySelector(".legend .l-flag"), "::before").backgroundColor;
  const column = getComputedStyle(document.querySelector("#window-amounts i")).backgroundColor;
  return [legend, column, getComputedStyle(document.querySelector(".card")).backgroundColor];
}"""


async def test_forced_colours_and_paper_keep_the_marks(pages: Site, browser: Browser) -> None:
    await pages.store(*(spent(at, 1_000 if at else 9_000, "EUR", flagged=not at) for at in range(12)))
    await pages.mirror(user(), [1_000] * 12)
    forced: list[dict[str, Any]] = [{"forced_colors": "active"}, {"color_scheme": "dark"}]
    for options in forced:
        async with visiting(browser, **options) as visit:
            visit.expected = ("503",)
            page = await visit.open(pages.view(f"/users/{user()}?{EVER}"))
            chart = page.locator("#chart-amounts")
            await expect(chart.locator("canvas")).to_be_visible()
            if "color_scheme" in options:
                await page.emulate_media(media="print")
                await expect(page.locator("#filters")).to_be_hidden()
                assert await page.evaluate("getComputedStyle(document.body).color") == "rgb(20, 24, 31)"
            legend, column, ground = await page.evaluate(PAINTED)
            assert ground not in (legend, column)
            assert [blot for blot in await blots(chart, "flag") if blot.width > 7]
            await expect(page.locator(".row.flagged")).not_to_have_count(0)
            border = "getComputedStyle(document.querySelector('.row.flagged')).borderInlineStartWidth"
            assert await page.evaluate(border) == "3px"

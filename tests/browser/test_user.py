"""A user's page: the chart, the window, the table with its filters, what arrives, the export."""

import csv
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from api.web.params import FROM
from schemas.money import parse_amount
from tests.support.browser.charts import Blot, blots
from tests.support.browser.chromium import Visit, visiting
from tests.support.browser.site import Site
from tests.support.rows import FLAG, START, Made, Worker, made, user

ALICE = user(1)
EVER = "from_date=2018-01-01"
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def visit(browser: Browser) -> AsyncIterator[Visit]:
    """A visitor who knows that most of these have no topics: the stream is refused, again and again."""
    async with visiting(browser) as one:
        one.expected = ("503",)
        yield one


def history(count: int, *, flagged_each: int = 0) -> list[Made]:
    """One transaction a minute; every so many is flagged, and costs a thousand times as much."""
    return [
        made(
            ALICE,
            number,
            hundredths=100_000 if flagged_each and number % flagged_each == 0 else 100 + number % 50,
            after=timedelta(minutes=number),
            flag=FLAG if flagged_each and number % flagged_each == 0 else None,
        )
        for number in range(count)
    ]


async def ids(page: Page) -> list[str]:
    """The ids of the rows as shown, from the top."""
    found: list[str] = await page.locator("#rows .row").evaluate_all("all => all.map(it => it.dataset.id)")
    return found


async def painted(page: Page) -> None:
    """Waits for a frame: where things are in between, nobody sees."""
    await page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


async def scrolled_to_the_end(page: Page) -> None:
    """Scrolls down until no page is left to come."""
    await page.evaluate(
        """async () => {
          const end = document.getElementById("more-text");
          while (!end.textContent.startsWith("That is all")) {
            scrollTo(0, document.body.scrollHeight);
            await new Promise(requestAnimationFrame);
          }
        }"""
    )


FIGURE = """async ([user, dates]) => {
  const { Series } = await import(new URL("series.js", document.scripts[0].src));
  const series = new Series();
  await series.load(user, dates, AbortSignal.timeout(10_000));
  return series.figure({ log: false, held: 20 }).marks.map(({ kind, values }) => ({ kind, values }));
}"""
"""What is drawn: the threshold, the amounts, the mean and, on top, the flags."""


def newest_first(rows: list[Made]) -> list[str]:
    return [row.txn.id for row in reversed(rows)]


async def test_the_chart_marks_flags_and_draws_the_rule(pages: Site, visit: Visit) -> None:
    await pages.store(*history(60, flagged_each=25))
    await pages.mirror(ALICE, [100] * 20)

    page = await visit.open(pages.view(f"/users/{ALICE}?{EVER}"))

    chart = page.locator("#chart-amounts")
    await expect(chart.locator("canvas")).to_be_visible()
    label = await chart.get_attribute("aria-label")
    assert label == (
        "60 amounts from 2018-04-01 00:00:00 to 2018-04-01 00:59:00 UTC, "
        "3 flagged. The table below lists them."
    )
    threshold, amount, mean, flagged = await page.evaluate(FIGURE, [ALICE, {"from_date": "2018-01-01"}])
    assert [one["kind"] for one in (threshold, amount, mean, flagged)] == ["line", "dots", "line", "diamonds"]
    assert [value for value in flagged["values"] if value] == [1000, 1000, 1000]
    assert len([value for value in amount["values"] if value]) == 57
    # Of the window's 20 amounts, 19 from 1.06 to 1.24 and 1.05: what the 26th was compared with.
    assert mean["values"][:20] == [None] * 20
    assert mean["values"][25] == round(sum(range(105, 125)) / 20 / 100, 4)
    assert threshold["values"][25] == 5 * mean["values"][25]
    diamonds, dashes = by_size(await blots(chart, "flag"))
    assert len(diamonds) == 3
    assert len({blot.top for blot in diamonds}) == 1
    assert len(dashes) > 5
    assert max(blot.width for blot in await blots(chart, "ink")) > 100
    dots = [dot.middle[0] for dot in await points(chart)]
    assert len(dots) == 57
    assert diamonds[0].middle[0] < dots[0] < dots[-1]
    # One a minute, from the first to the last, and none where a flag is.
    minute = (diamonds[1].middle[0] - diamonds[0].middle[0]) / 25
    minutes = [round((left - diamonds[0].middle[0]) / minute) for left in dots]
    assert minutes == [number for number in range(60) if number % 25]


async def points(chart: Locator) -> list[Blot]:
    """The amounts that are not flagged, which are drawn somewhat transparent, from the left."""
    whole: list[Blot] = []
    for blot in await blots(chart, "accent", opacity=0.75):
        # A line across a point leaves two blots of it, one above the other.
        is_cut = whole and blot.left < whole[-1].left + whole[-1].width
        whole.append(whole.pop().joined(blot) if is_cut else blot)
    return whole


def by_size(found: list[Blot]) -> tuple[list[Blot], list[Blot]]:
    """The diamonds, which are as high as wide, and the pieces of a line."""
    diamonds = [blot for blot in found if blot.width >= 8 and abs(blot.height - blot.width) <= 1]
    return diamonds, [blot for blot in found if blot not in diamonds]


async def test_a_point_of_the_chart_says_what_it_is_and_opens_its_details(pages: Site, visit: Visit) -> None:
    rows = history(60, flagged_each=25)
    await pages.store(*rows)
    await pages.mirror(ALICE, [100] * 20)
    page = await visit.open(pages.view(f"/users/{ALICE}?{EVER}"))
    chart = page.locator("#chart-amounts")
    await expect(chart.locator("canvas")).to_be_visible()
    diamonds, _ = by_size(await blots(chart, "flag"))
    box = await chart.bounding_box()
    assert box is not None
    left, top = diamonds[1].middle

    await page.mouse.move(box["x"] + left, box["y"] + top)

    tip = chart.locator(".tip")
    await expect(tip).to_have_text(re.compile(r"^₹1,000\.00 is .+\n2018-04-01 00:25:00 UTC$", re.DOTALL))
    await page.mouse.down()
    await page.mouse.up()
    await expect(page.get_by_role("dialog", name="Transaction")).to_contain_text(rows[25].txn.id)
    await page.keyboard.press("Escape")
    await page.mouse.move(box["x"] + left, box["y"] + top + 60)  # no point is near
    await expect(tip).to_be_hidden()


async def test_the_window_is_as_the_worker_has_it(pages: Site, visit: Visit) -> None:
    await pages.store(*history(3))
    await pages.mirror(ALICE, [123_400, *[100_000] * 11], last_offset=123_456)

    page = await visit.open(pages.view(f"/users/{ALICE}?{EVER}"))

    facts = page.locator("#window-facts")
    await expect(facts).to_contain_text("Mean₹1,019.50")
    await expect(facts).to_contain_text("The next is flagged above₹5,097.50")
    await expect(facts).to_contain_text("Finished offset123,456")
    await expect(page.locator("#window-amounts li")).to_have_count(12)


async def test_the_window_follows_what_arrives(site: Site, visit: Visit) -> None:
    await site.store(*history(10))
    await site.mirror(ALICE, [1000] * 10, last_offset=10)
    page = await visit.open(site.view(f"/users/{ALICE}?{EVER}"))
    await expect(page.locator("#connection")).to_have_text("Live")
    facts = page.locator("#window-facts")
    await expect(facts).to_contain_text("The next is flagged above₹50.00Mean₹10.00Transactions10")
    await expect(facts).to_contain_text("Finished offset10")

    await site.mirror(ALICE, [2100, *[1000] * 10], last_offset=11)
    async with Worker(site.settings.kafka, site.settings.scored_topic) as worker:
        await worker.publish(made(ALICE, 10, hundredths=2100, after=timedelta(minutes=10)))

        await expect(facts).to_contain_text("The next is flagged above₹55.00Mean₹11.00Transactions11")
    await expect(facts).to_contain_text("Finished offset11")
    await expect(page.locator("#window-amounts li")).to_have_count(11)
    await expect(page.locator("#window-amounts li").first).to_have_text("₹21.00")


async def test_a_user_without_a_window_is_said_to_have_none(pages: Site, visit: Visit) -> None:
    visit.expected = ("503", "404")
    await pages.store(*history(3))

    page = await visit.open(pages.view(f"/users/{ALICE}?{EVER}"))

    await expect(page.locator("#window-none")).to_have_text("No worker has a window of this user.")
    await expect(page.locator("#rows .row")).to_have_count(3)


async def test_filters_live_in_the_address_and_a_shared_one_shows_the_same(pages: Site, visit: Visit) -> None:
    rows = history(60, flagged_each=25)
    await pages.store(*rows)
    await pages.mirror(ALICE, [100] * 20)
    page = await visit.open(pages.view(f"/users/{ALICE}"))
    await expect(page.locator("#rows .row")).to_have_count(60)
    await page.get_by_label("Flagged only").check()
    await expect(page.locator("#rows .row")).to_have_count(3)
    await page.get_by_label("Flagged only").uncheck()
    await page.get_by_label("At least").fill("1.20")
    await page.get_by_label("At most").fill("1.30")
    await expect(page.locator("#rows .row")).to_have_count(10)
    await page.get_by_label("From", exact=True).fill("2018-04-01")

    await expect(page).to_have_url(
        pages.view(f"/users/{ALICE}?from_date=2018-04-01&min_amount=1.20&max_amount=1.30")
    )
    shared = await visit.open(page.url)
    await expect(shared.locator("#rows .row")).to_have_count(10)
    assert await ids(shared) == await ids(page)
    await expect(shared.get_by_label("At least")).to_have_value("1.20")
    await expect(shared.get_by_label("From", exact=True)).to_have_value("2018-04-01")
    assert parse_qs(shared.url.partition("?")[2])["max_amount"] == ["1.30"]


async def test_a_filter_that_makes_no_sense_is_named_and_marked(pages: Site, visit: Visit) -> None:
    visit.expected = ("503", "422")
    await pages.store(*history(3))
    await pages.mirror(ALICE, [100] * 3)
    page = await visit.open(pages.view(f"/users/{ALICE}?{EVER}"))
    await expect(page.locator("#rows .row")).to_have_count(3)

    await page.get_by_label("At least").fill("much")

    await expect(page.locator("#filters-problem")).to_contain_text("At least: must be an amount")
    await expect(page.get_by_label("At least")).to_have_attribute("aria-invalid", "true")
    await page.get_by_role("button", name="Clear").click()
    await expect(page.locator("#filters-problem")).to_be_hidden()


async def test_five_thousand_rows_scroll_by_and_none_is_there_twice(pages: Site, visit: Visit) -> None:
    rows = history(5000)
    await pages.store(*rows)
    await pages.mirror(ALICE, [100] * 20)
    page = await visit.open(pages.view(f"/users/{ALICE}?{EVER}"))
    await expect(page.locator("#rows .row").first).to_be_visible()

    await scrolled_to_the_end(page)

    await expect(page.locator("#more-text")).to_have_text("That is all: 5,000 transactions.")
    assert await ids(page) == newest_first(rows)


async def test_new_rows_arrive_on_top_and_nothing_jumps(site: Site, visit: Visit) -> None:
    rows = history(320)
    await site.store(*rows[:300])
    await site.mirror(ALICE, [100] * 20)
    page = await visit.open(site.view(f"/users/{ALICE}?{EVER}"))
    await expect(page.locator("#connection")).to_have_text("Live")
    async with Worker(site.settings.kafka, site.settings.scored_topic) as worker:
        await worker.publish(rows[300])
        await expect(page.locator("#rows .row").first).to_have_attribute("data-id", rows[300].txn.id)

        seen = page.locator(f'[data-id="{rows[250].txn.id}"]')
        await seen.scroll_into_view_if_needed()
        await painted(page)
        before = await seen.bounding_box()
        await worker.publish(*rows[301:])
        newer = page.get_by_role("button", name="↑ 19 new")
        await expect(newer).to_be_visible()
        await painted(page)
        after = await seen.bounding_box()

        assert before is not None
        assert after is not None
        assert abs(before["y"] - after["y"]) <= 1
        await newer.click()
        await expect(newer).to_be_hidden()
        top = await ids(page)
        assert top[:50] == newest_first(rows)[:50]
        assert len(set(top)) == len(top)


async def test_a_row_that_arrives_passes_the_filters_first(site: Site, visit: Visit) -> None:
    await site.store(made(ALICE, 0, hundredths=5000))
    await site.mirror(ALICE, [5000])
    page = await visit.open(site.view(f"/users/{ALICE}?{EVER}&min_amount=50&max_amount=60.5"))
    await expect(page.locator("#connection")).to_have_text("Live")
    minute = timedelta(minutes=1)

    async with Worker(site.settings.kafka, site.settings.scored_topic) as worker:
        await worker.publish(
            made(ALICE, 1, hundredths=4999, after=minute),
            made(ALICE, 2, hundredths=6051, after=2 * minute),
            made(ALICE, 3, hundredths=6050, after=3 * minute),
        )

        await expect(page.locator("#rows .row")).to_have_count(2)
    await expect(page.locator("#rows .row").first).to_contain_text("₹60.50")


async def test_merchant_card_country_and_channel_are_shown_where_they_are_and_can_be_asked_for(
    site: Site, visit: Visit
) -> None:
    where: dict[str, Any] = {"merchant_id": "m-<b>1", "card_id": "c-1", "country": "IN", "channel": "web"}
    await site.store(made(ALICE, 0), made(ALICE, 1, after=MINUTE, **where))
    await site.mirror(ALICE, [1230, 1230])
    page = await visit.open(site.view(f"/users/{ALICE}?{EVER}"))
    await expect(page.locator("#connection")).to_have_text("Live")
    rows = page.locator("#rows .row")
    await expect(rows.first.locator(".about")).to_have_text("m-<b>1 · IN · web")
    await expect(rows.nth(1).locator(".about")).to_have_count(0)

    await rows.first.get_by_role("button").click()
    facts = page.get_by_role("dialog", name="Transaction").locator("dl")
    await expect(facts).to_contain_text("Merchantm-<b>1Cardc-1CountryINChannelweb")
    await page.get_by_role("button", name="Close").click()
    await rows.nth(1).get_by_role("button").click()
    await expect(facts).not_to_contain_text("Merchant")
    await page.get_by_role("button", name="Close").click()

    for label, text in (("Merchant", "m-<b>1"), ("Card", "c-1"), ("Country", "in"), ("Channel", "web")):
        await page.get_by_label(label, exact=True).fill(text)
    await expect(rows).to_have_count(1)
    assert parse_qs(page.url.partition("?")[2])["merchant_id"] == ["m-<b>1"]
    async with Worker(site.settings.kafka, site.settings.scored_topic) as worker:
        await worker.publish(
            made(ALICE, 2, after=2 * MINUTE),
            made(ALICE, 3, after=3 * MINUTE, **{**where, "country": "DE"}),
            made(ALICE, 4, after=4 * MINUTE, **where),
        )
        await expect(rows).to_have_count(2)
    shared = await visit.open(page.url)
    await expect(shared.get_by_label("Country", exact=True)).to_have_value("in")


async def test_status_and_currency_can_be_asked_for(site: Site, visit: Visit) -> None:
    await site.store(made(ALICE, 0), made(ALICE, 1, after=MINUTE, status="declined"))
    await site.mirror(ALICE, [1230, 1230])
    page = await visit.open(site.view(f"/users/{ALICE}?{EVER}&status=declined"))
    await expect(page.locator("#connection")).to_have_text("Live")
    rows = page.locator("#rows .row")
    await expect(rows).to_have_count(1)
    await expect(page.get_by_label("Status", exact=True)).to_have_value("declined")
    await page.get_by_label("Currency", exact=True).fill("EUR")
    await expect(rows).to_have_count(0)
    async with Worker(site.settings.kafka, site.settings.scored_topic) as worker:
        await worker.publish(
            made(ALICE, 2, after=2 * MINUTE, status="declined"),
            made(ALICE, 3, after=3 * MINUTE, currency="EUR"),
            made(ALICE, 4, after=4 * MINUTE, currency="EUR", status="declined"),
        )
        await expect(rows).to_have_count(1)
    await expect(rows.first).to_contain_text("declined")


async def test_the_counts_follow_what_arrives(site: Site, visit: Visit) -> None:
    await site.store(made(ALICE, 0))
    await site.mirror(ALICE, [1230])
    page = await visit.open(site.view(f"/users/{ALICE}?{EVER}"))
    await expect(page.locator("#connection")).to_have_text("Live")
    await expect(page.locator("#more-text")).to_have_text("That is all: 1 transaction.")
    await expect(page.locator("#rows-aside")).to_have_text("1 row")

    async with Worker(site.settings.kafka, site.settings.scored_topic) as worker:
        await worker.publish(made(ALICE, 1, after=timedelta(minutes=1)))

        await expect(page.locator("#more-text")).to_have_text("That is all: 2 transactions.")
    await expect(page.locator("#rows-aside")).to_have_text("2 rows")


async def test_the_first_row_takes_the_offer_of_all_dates_away(site: Site, visit: Visit) -> None:
    await site.store(made(ALICE, 1))
    await site.mirror(ALICE, [1230])
    page = await visit.open(site.view(f"/users/{ALICE}?from_date=2019-01-01"))
    await expect(page.locator("#connection")).to_have_text("Live")
    none = "Nothing in these dates; the newest is of April 1, 2018."
    await expect(page.locator("#more-text")).to_have_text(none)
    offer = page.get_by_role("button", name="Look at all dates")
    await expect(offer).to_be_visible()

    async with Worker(site.settings.kafka, site.settings.scored_topic) as worker:
        await worker.publish(made(ALICE, after=datetime.now(UTC) - START))

        await expect(page.locator("#more-text")).to_have_text("That is all: 1 transaction.")
    await expect(offer).to_be_hidden()


async def test_who_has_only_old_data_sees_it_at_once_also_while_it_arrives(site: Site, visit: Visit) -> None:
    await site.mirror(ALICE, [1230])
    page = await visit.open(site.view(f"/users/{ALICE}"))
    await expect(page.locator("#connection")).to_have_text("Live")
    await expect(page.locator("#more-text")).to_have_text("This user has no transactions.")
    first, second = made(ALICE, 1, hundredths=9900), made(ALICE, 2)
    new = made(ALICE, 3, after=datetime.now(UTC) - START)

    async with Worker(site.settings.kafka, site.settings.scored_topic) as worker:
        await site.store(first)
        await worker.publish(first)
        await expect(page.locator("#rows-aside")).to_have_text("1 row, none of the last 30 days")
        await worker.publish(second)
        await expect(page.locator("#rows-aside")).to_have_text("2 rows, none of the last 30 days")
        await expect(page.locator("#chart-amounts")).to_have_attribute("aria-label", re.compile("^2 amounts"))
        await worker.publish(new)
        await expect(page.locator("#rows-aside")).to_have_text("3 rows")

    await expect(page.get_by_label("From", exact=True)).to_have_value("2018-03-02")
    await site.store(second, new)
    await page.goto(site.view(f"/users/{ALICE}"))
    await expect(page.locator("#rows-aside")).to_have_text("1 row, of the last 30 days")
    await page.goto(site.view(f"/users/{ALICE}?min_amount=50"))
    await expect(page.locator("#rows-aside")).to_have_text("1 row, none of the last 30 days")


async def test_without_dates_what_arrives_is_of_the_last_30_days_as_after_a_reload(
    site: Site, visit: Visit
) -> None:
    now = datetime.now(UTC) - START
    old, new = made(ALICE, 1, after=now - timedelta(days=31)), made(ALICE, 2, after=now - timedelta(days=29))
    await site.mirror(ALICE, [1230])
    page = await visit.open(site.view(f"/users/{ALICE}"))
    await expect(page.locator("#connection")).to_have_text("Live")
    await expect(page.locator("#more-text")).to_have_text("This user has no transactions.")

    async with Worker(site.settings.kafka, site.settings.scored_topic) as worker:
        await worker.publish(old, new)
        await expect(page.locator(f'[data-id="{new.txn.id}"]')).to_have_count(1)

    assert await ids(page) == [new.txn.id]
    await expect(page.locator("#chart-amounts")).to_have_attribute("aria-label", re.compile("^1 amount from"))
    await site.store(old, new)
    await page.reload()
    await expect(page.locator("#rows-aside")).to_have_text("1 row, of the last 30 days")
    assert await ids(page) == [new.txn.id]


@pytest.mark.parametrize(
    ("dates", "numbers"),
    [
        ("from_date=2018-04-01T00:02:00Z", range(2, 6)),
        ("from_date=2018-04-01T05:32:00.000001%2B05:30&to_date=2018-04-01T00:04Z", range(3, 5)),
        ("from_date=2018-04-01&to_date=2018-04-01%2000:01:00", range(2)),
        ("to_date=2018-05-01T00:03:00Z", range(3, 6)),
    ],
)
async def test_times_of_a_day_in_the_address_hold_as_the_api_reads_them(
    site: Site, visit: Visit, dates: str, numbers: range
) -> None:
    """Some rows were there before, the others arrive: those that are shown are the same after a reload."""
    rows = history(6)
    await site.store(*rows[::2])
    await site.mirror(ALICE, [1230])
    page = await visit.open(site.view(f"/users/{ALICE}?{dates}"))
    await expect(page.locator("#connection")).to_have_text("Live")
    await expect(page.locator("#more-text")).to_have_text(re.compile("That is all"))
    expected = [rows[number].txn.id for number in reversed(numbers)]

    async with Worker(site.settings.kafka, site.settings.scored_topic) as worker:
        await worker.publish(*rows[1::2])
        await expect(page.locator("#rows .row")).to_have_count(len(expected))
        assert await ids(page) == expected

    await site.store(*rows[1::2])
    await page.reload()
    await expect(page.locator("#rows .row")).to_have_count(len(expected))
    assert await ids(page) == expected


async def test_a_time_of_a_day_outlives_changes_of_other_filters(pages: Site, visit: Visit) -> None:
    await pages.store(*history(6))
    await pages.mirror(ALICE, [100] * 6)
    page = await visit.open(pages.view(f"/users/{ALICE}?from_date=2018-04-01T00:02:00Z&is_anomaly=false"))
    await expect(page.get_by_label("From", exact=True)).to_have_value("2018-04-01")
    await expect(page.locator("#rows-aside")).to_have_text("4 rows, from 2018-04-01T00:02:00Z")

    await page.get_by_label("At least").fill("1.04")

    await expect(page.locator("#rows .row")).to_have_count(2)
    given = parse_qs(page.url.partition("?")[2])
    assert given == {"from_date": ["2018-04-01T00:02:00Z"], "min_amount": ["1.04"], "is_anomaly": ["false"]}


async def test_the_address_leads_to_the_scale_and_back(pages: Site, visit: Visit) -> None:
    """Of 1, 10 and 100, the 10 is near the bottom by its amount, and in the middle by its logarithm."""
    amounts = [100, 1_000, 10_000]
    await pages.store(*(made(ALICE, at, hundredths=it, after=at * MINUTE) for at, it in enumerate(amounts)))
    await pages.mirror(ALICE, amounts)
    page = await visit.open(pages.view(f"/users/{ALICE}?{EVER}"))
    chart = page.locator("#chart-amounts")
    await expect(chart.locator("canvas")).to_be_visible()
    assert height(await points(chart)) == pytest.approx(9 / 99, abs=0.02)
    drawn = "document.querySelector('#chart-amounts canvas').toDataURL()"
    linear = await page.evaluate(drawn)
    button = page.get_by_role("button", name="Log scale")

    await page.evaluate("location.hash += '&scale=log'")
    await expect(button).to_have_attribute("aria-pressed", "true")
    await page.wait_for_function(f"linear => {drawn} !== linear", arg=linear)
    assert height(await points(chart)) == pytest.approx(0.5, abs=0.02)

    await page.go_back()
    await expect(button).to_have_attribute("aria-pressed", "false")
    await page.wait_for_function(f"linear => {drawn} === linear", arg=linear)
    assert height(await points(chart)) == pytest.approx(9 / 99, abs=0.02)
    await expect(page.locator("#rows .row")).to_have_count(3)


def height(found: list[Blot]) -> float:
    """Where the second of three points is, between the first, at 0, and the third, at 1."""
    first, second, third = (blot.middle[1] for blot in found)
    return (first - second) / (first - third)


async def test_so_many_may_arrive_above_and_the_others_are_counted(site: Site, visit: Visit) -> None:
    rows = history(1_500)
    before, shown, counted = rows[:150], rows[150:1_200], rows[1_200:]
    await site.store(*before)
    await site.mirror(ALICE, [100] * 20)
    page = await visit.open(site.view(f"/users/{ALICE}?{EVER}"))
    await expect(page.locator("#connection")).to_have_text("Live")
    await expect(page.locator("#rows .row")).to_have_count(100)
    await scrolled_to_the_end(page)
    read = page.locator(f'[data-id="{before[20].txn.id}"]')
    await read.scroll_into_view_if_needed()
    await painted(page)
    place = await read.bounding_box()
    async with Worker(site.settings.kafka, site.settings.scored_topic) as worker:
        await worker.publish(*shown, each=150)
        await expect(page.locator("#newer")).to_have_text("↑ 1,050 new", timeout=30_000)
        there = await page.locator("#rows .row").count()
        assert there <= len(before) + len(shown)

        await worker.publish(*counted, each=150)
        await expect(page.locator("#newer")).to_have_text("↑ 1,350 new", timeout=30_000)

    await painted(page)
    assert await page.locator("#rows .row").count() == there
    await expect(page.locator("#rows-aside")).to_have_text(f"{there:,} rows so far")
    await expect(page.locator("#more-text")).to_have_text("")
    assert place is not None
    after = await read.bounding_box()
    assert after is not None
    assert abs(after["y"] - place["y"]) <= 1
    await site.store(*shown, *counted)
    await page.locator("#newer").click()
    await expect(page.locator("#rows .row").first).to_have_attribute("data-id", rows[-1].txn.id)
    await expect(page.locator("#newer")).to_be_hidden()
    top = await ids(page)
    assert top == newest_first(rows)[: len(top)]


@pytest.mark.slow
async def test_beyond_ten_thousand_rows_the_oldest_are_let_go_and_come_again(
    site: Site, visit: Visit
) -> None:
    *rows, new = history(10_001)
    await site.store(*rows)
    await site.mirror(ALICE, [100] * 20)
    page = await visit.open(site.view(f"/users/{ALICE}?{EVER}"))
    await expect(page.locator("#connection")).to_have_text("Live")
    await scrolled_to_the_end(page)
    await expect(page.locator("#more-text")).to_have_text("That is all: 10,000 transactions.")

    await page.evaluate("scrollTo(0, 0)")
    await site.store(new)
    async with Worker(site.settings.kafka, site.settings.scored_topic) as worker:
        await worker.publish(new)
        await expect(page.locator("#rows-aside")).to_have_text("9,901 rows so far")
    await expect(page.locator("#more-text")).to_have_text("")
    assert await ids(page) == newest_first([*rows, new])[:9_901]

    await scrolled_to_the_end(page)
    await expect(page.locator("#more-text")).to_have_text("That is all: 10,001 transactions.")
    assert await ids(page) == newest_first([*rows, new])


async def test_what_arrives_shows_under_no_filter_that_makes_no_sense(site: Site, visit: Visit) -> None:
    visit.expected = ("422",)
    await visit.context.clock.install()
    await site.mirror(ALICE, [1230])
    page = await visit.open(site.view(f"/users/{ALICE}?{EVER}&min_amount=much"))
    await expect(page.locator("#connection")).to_have_text("Live")
    await expect(page.locator("#filters-problem")).to_be_visible()

    async with Worker(site.settings.kafka, site.settings.scored_topic) as worker:
        await worker.publish(made(ALICE, 1))
        # The chart takes it: its dates are those of the address.
        await expect(page.locator("#chart-amounts")).to_have_attribute(
            "aria-label", re.compile("^1 amount from")
        )
    await page.clock.fast_forward(1000)  # whatever waits to be shown

    assert await ids(page) == []


async def test_an_export_holds_what_the_filters_let_through(
    pages: Site, visit: Visit, tmp_path: Path
) -> None:
    rows = history(150, flagged_each=25)
    await pages.store(*rows)
    await pages.mirror(ALICE, [100] * 20)
    page = await visit.open(pages.view(f"/users/{ALICE}?{EVER}&is_anomaly=true"))
    await expect(page.locator("#rows .row")).to_have_count(6)

    async with page.expect_download() as download:
        await page.get_by_role("button", name="Export CSV").click()

    file = await download.value
    assert file.suggested_filename == f"transactions-{ALICE}.csv"
    await file.save_as(tmp_path / "export.csv")
    with (tmp_path / "export.csv").open(newline="") as lines:
        exported = list(csv.DictReader(lines))
    assert [row["id"] for row in exported] == newest_first([row for row in rows if b'"ratio"' in row.row])
    assert {row["amount"] for row in exported} == {"1000.00"}


async def test_a_user_is_found_by_how_the_id_begins(pages: Site, visit: Visit) -> None:
    people = [user(number) for number in range(30)]
    await pages.store(*(made(one) for one in people))
    for one in people:
        await pages.mirror(one, [1230])
    wanted = people[7]
    page = await visit.open(pages.view("/users"))
    search = page.get_by_role("combobox", name="Find a user by id")

    await search.fill("zz")
    await expect(page.locator("#suggestions")).to_contain_text("Ids are made of")
    await search.fill(wanted[:6].upper())
    await expect(page.get_by_role("option", name=wanted)).to_be_visible()
    await search.press("ArrowDown")
    await expect(page.get_by_role("option", name=wanted)).to_have_attribute("aria-selected", "true")
    await search.press("Enter")

    await expect(page.get_by_role("heading", level=1)).to_have_text(f"User {wanted}")
    await page.go_back()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Users")


AMOUNTS = """
0 -0 0.00 12 12.3 12.30 12.300 12.345 1.23e1 123E-2 1e-3 1e17 1e18 999999999999999999.99 1e-999999999
007 00.1 -1 -0.00 +1 .5 1. 1,5 NaN Infinity 0x10 1_000 1e 1e+2
"""
DATES = """
2024-02-29 2023-02-29 2024-13-01 2024-00-10 0001-01-01 0000-01-01 9999-12-31 10000-01-01 2024-1-1 today
2024-02-29T23:59:60Z 2024-02-30T00:00:00Z 2024-02-29T12:00 2024-02-29T12:00:00.5Z
2024-02-29T12:00:00+0530 2024-02-29T12:00:00+00 2024-02-29T12:00-03 2024-02-29t12:00:00z 2024-02-29T12
"""


async def test_the_page_reads_amounts_and_dates_as_the_api_does(pages: Site, visit: Visit) -> None:
    amounts, dates = AMOUNTS.split(), DATES.split()
    page = await visit.open(pages.view())
    read = await page.evaluate(
        """async ([amounts, dates]) => {
            const { hundredths, matches } = await import(new URL("rows.js", document.scripts[0].src));
            const row = { txn_date: "9999-12-31T23:59:59.999999Z", amount: "1.00", meta_data: {} };
            return [
                amounts.map((text) => hundredths(text)?.toString() ?? null),
                dates.map((from_date) => matches(row, { from_date, to_date: "9999-12-31" })),
            ];
        }""",
        [amounts, dates],
    )
    assert dict(zip(amounts, read[0], strict=True)) == {
        text: None if (amount := meant(parse_amount, text)) is None else str(amount) for text in amounts
    }
    assert dict(zip(dates, read[1], strict=True)) == {
        text: meant(FROM.parse, text) is not None for text in dates
    }


def meant(parse: Callable[[str], Any], text: str) -> Any:
    """What the API reads; None for what it refuses."""
    try:
        return parse(text)
    except ValueError:
        return None

"""The first view: what flows, and flags as they are raised."""

import re
import time
from dataclasses import replace
from datetime import timedelta

from aiokafka import AIOKafkaProducer
from playwright.async_api import expect

from tests.support.browser.chromium import Visit
from tests.support.browser.site import Site
from tests.support.detectors import mean_flag
from tests.support.rows import Worker, made, user

FLAG = mean_flag("1266.00", 20, 7.2986, "6330.00")
SENTENCE = "₹9,240.00 is 7.3 × this user's mean of ₹1,266 over 20 transactions"  # noqa: RUF001 - as the page has it


async def test_a_flag_says_why_it_was_raised_and_leads_to_its_user(site: Site, visit: Visit) -> None:
    await site.store(made(user(), 1, hundredths=924_000, flag=FLAG), made(user(2), 2))
    await site.mirror(user(), [924_000])

    page = await visit.open(site.view())

    flag = page.locator("#feed li")
    await expect(flag).to_have_count(1)
    await expect(flag.get_by_role("link")).to_have_text(SENTENCE)
    await flag.get_by_role("link").click()
    await expect(page.get_by_role("heading", name=f"User {user()}")).to_be_visible()
    assert page.url.startswith(site.view(f"/users/{user()}?"))


async def test_flags_arrive_on_top_and_none_is_there_twice(site: Site, visit: Visit) -> None:
    first, second, third = (made(user(), number, hundredths=924_000, flag=FLAG) for number in range(3))
    await site.store(first)
    page = await visit.open(site.view())
    await expect(page.locator("#connection")).to_have_text("Live")

    async with Worker(site.settings.kafka, site.settings.anomalies_topic) as worker:
        await worker.publish(first, second, third)

        ids = page.locator("#feed li")
        await expect(ids).to_have_count(3)
    assert [await one.get_attribute("data-id") for one in await ids.all()] == [
        third.txn.id,
        second.txn.id,
        first.txn.id,
    ]
    await expect(page.locator("#announcer")).to_contain_text(SENTENCE)


async def test_two_legs_of_a_transfer_are_two_flags_and_a_revision_is_one_with_what_it_revises(
    site: Site, visit: Visit
) -> None:
    """Legs share id and date, and differ in the user."""
    visit.expected = ("404",)  # no window
    debit = made(user(1), 1, hundredths=924_000, flag=FLAG)
    credit = replace(debit, row=debit.row.replace(user(1).encode(), user(2).encode()))
    said_again = made(user(1), 1, hundredths=930_000, after=timedelta(minutes=1), flag=FLAG)
    said_again = replace(
        said_again, row=said_again.row.replace(b'"meta_data":{', b'"meta_data":{"revision":2,')
    )
    page = await visit.open(site.view())
    await expect(page.locator("#connection")).to_have_text("Live")
    async with Worker(site.settings.kafka, site.settings.anomalies_topic) as worker:
        await worker.publish(debit, credit)
        flags = page.locator("#feed li")
        await expect(flags).to_have_count(2)
        assert {(await one.locator(".aside").inner_text())[31:39] for one in await flags.all()} == {
            user(1)[:8],
            user(2)[:8],
        }
        await worker.publish(said_again)
        await expect(flags.first).to_contain_text("₹9,300.00")
        await expect(flags.first).to_contain_text("revision 2")
        await expect(flags).to_have_count(2)

        await page.goto(site.view(f"/users/{user(1)}?from_date=2018-01-01"))
        await expect(page.locator("#connection")).to_have_text("Live")
    async with Worker(site.settings.kafka, site.settings.scored_topic) as worker:
        await worker.publish(debit, said_again)
        await expect(page.locator("#rows .row")).to_have_count(1)
    await expect(page.locator("#rows .row .status")).to_have_text("paid · revision 2")
    await expect(page.locator("#chart-amounts")).to_have_attribute("aria-label", re.compile("^1 amount from"))


async def test_what_somebody_looks_at_stays_where_it_is(site: Site, visit: Visit) -> None:
    first, second = (made(user(), number, hundredths=924_000, flag=FLAG) for number in range(2))
    await site.store(first)
    page = await visit.open(site.view())
    await expect(page.locator("#connection")).to_have_text("Live")
    await page.locator("#feed li").hover()
    before = await page.locator("#feed li").bounding_box()

    async with Worker(site.settings.kafka, site.settings.anomalies_topic) as worker:
        await worker.publish(second)

        held = page.get_by_role("button", name="1 new flag held back: show")
        await expect(held).to_be_visible()
        await expect(page.locator("#feed li")).to_have_count(1)
        assert await page.locator("#feed li").bounding_box() == before
        await held.click()
        await expect(page.locator("#feed li")).to_have_count(2)
        await expect(held).to_be_hidden()


async def test_what_was_held_back_shows_when_nobody_looks_any_more(site: Site, visit: Visit) -> None:
    first, second = (made(user(), number, hundredths=924_000, flag=FLAG) for number in range(2))
    await site.store(first)
    page = await visit.open(site.view())
    await expect(page.locator("#connection")).to_have_text("Live")
    await page.locator("#feed li").hover()
    async with Worker(site.settings.kafka, site.settings.anomalies_topic) as worker:
        await worker.publish(second)
        await expect(page.locator("#held")).to_be_visible()

        await page.mouse.move(10, 10)

        await expect(page.locator("#feed li")).to_have_count(2)


async def test_rates_and_lag_are_those_of_the_topic(site: Site, visit: Visit) -> None:
    async with AIOKafkaProducer(bootstrap_servers=site.settings.kafka) as producer:
        for number in range(40):
            await producer.send(
                site.settings.transactions_topic, b"{}", key=b"%d" % number, partition=number % 4
            )

    page = await visit.open(site.view())

    await expect(page.locator("#lag")).to_have_text("40")
    await expect(page.locator("#lag-aside")).to_have_text("nothing is being scored")
    await expect(page.locator("#lags li")).to_have_count(4)
    await expect(page.locator("#lags li").first).to_have_text("Partition 010 behind")
    # The chart begins with the last minutes as Kafka has them, not with nothing.
    await expect(page.locator("#chart-rate canvas")).to_be_visible()
    label = await page.locator("#chart-rate").get_attribute("aria-label")
    assert label is not None
    assert "between 0 and 8" in label  # 40 in one of its steps of five seconds


async def test_anomalies_are_counted_by_the_minute_and_drawn_by_the_second(site: Site, visit: Visit) -> None:
    settings = site.settings
    flags = [made(user(), number, hundredths=924_000, flag=FLAG) for number in range(18)]
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka, linger_ms=100) as producer:
        for number in range(40):
            await producer.send(settings.transactions_topic, b"{}", partition=number % 4)
        # In one batch, which has one time: none of the chart's steps ends between two of them.
        for one in flags[:8]:
            await producer.send(settings.anomalies_topic, one.row, partition=0)

    page = await visit.open(site.view())

    await expect(page.locator("#flagged")).to_have_text("8")
    await expect(page.locator("#share")).to_have_text("")  # nothing was scored
    chart = page.locator("#chart-flags")
    label = "^Anomalies a second over the last five minutes: now .*, between 0 and {}\\.$"
    of_eight, of_ten = (re.compile(label.format(rate)) for rate in (r"1\.6", "2"))  # over five seconds
    await expect(chart).to_have_attribute("aria-label", of_eight, timeout=20_000)

    async with Worker(settings.kafka, settings.anomalies_topic) as worker:
        await worker.publish(*flags[8:], each=10)
        await expect(chart).to_have_attribute("aria-label", of_ten, timeout=20_000)
    await expect(page.locator("#flagged")).to_have_text("18")


async def test_the_tiles_agree_with_each_other_under_lag(pages: Site, visit: Visit) -> None:
    """Offsets are committed in batches: in the last second none were, though 3,900 a second are scored."""
    visit.expected = ("503",)  # no topics, so no stream
    scored = [None] * 30 + [0, 0, 19_500, 0, 0] * 6
    now = int(time.time() * 1000)
    pulse = {
        "now": now,
        "samples": [
            {
                "at": now + 1000 * at,
                "arrived": 5000,
                "scored": one,
                "flagged": 39,
                "refused": 0.5,
                "produced": None,
            }
            for at, one in enumerate(scored, 1 - len(scored))
        ],
        "partitions": [{"partition": 0, "end": 900_000, "committed": 822_000, "lag": 78_000}],
    }
    await visit.context.route("**/dashboard/data/pulse*", lambda route: route.fulfill(json=pulse))

    page = await visit.open(pages.view())

    await expect(page.locator("#arrived")).to_have_text("5,000")
    await expect(page.locator("#scored")).to_have_text("3,900 scored a second")
    await expect(page.locator("#lag-aside")).to_have_text("about 20 s of work")
    await expect(page.locator("#share")).to_have_text("1% of what was scored")
    await expect(page.locator("#refused")).to_have_text(re.compile("^(29|30) refused a minute$"))


async def test_charts_fill_their_boxes_and_write_no_styles_of_their_own(site: Site, visit: Visit) -> None:
    page = await visit.open(site.view())
    chart = page.locator("#chart-rate")
    canvas = chart.locator("canvas")
    await expect(canvas).to_be_visible()

    for width in (1280, 700, 1000):
        await page.set_viewport_size({"width": width, "height": 860})
        await page.wait_for_function(
            """() => {
              const chart = document.querySelector("#chart-rate");
              const [box, drawn] = [chart, chart.firstElementChild].map((it) => it.getBoundingClientRect());
              return Math.abs(box.width - drawn.width) < 1 && Math.abs(box.height - drawn.height) < 1;
            }"""
        )

    assert await page.locator("style").count() == 0
    assert await chart.evaluate("it => it.scrollHeight <= it.clientHeight + 1")


async def test_the_rates_of_a_time_show_where_the_pointer_is(site: Site, visit: Visit) -> None:
    page = await visit.open(site.view())
    chart = page.locator("#chart-rate")
    await expect(chart.locator("canvas")).to_be_visible()
    await expect(chart.locator(".tip")).to_be_hidden()

    await chart.locator(".u-over").hover()

    await expect(chart.locator(".tip")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d\n0 arriving"))
    await page.mouse.move(1, 1)
    await expect(chart.locator(".tip")).to_be_hidden()


async def test_the_numbers_wait_for_no_chart(site: Site, visit: Visit) -> None:
    visit.expected = ("ERR_FAILED",)
    await visit.context.route("**/uplot.iife.min.js", lambda route: route.abort())

    page = await visit.open(site.view())

    await expect(page.locator("#lag")).to_have_text("0")
    await expect(page.locator("#chart-rate")).to_have_text("The charts could not be loaded.")

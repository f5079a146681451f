"""Flags and lines are those of the rule that a worker says it runs, whichever it is."""

from datetime import timedelta

import pytest
from playwright.async_api import Page, expect

from api.settings import Settings as ApiSettings
from schemas.rule import Rule
from schemas.scored import Flag
from stream_app.detectors import DETECTORS, rule_of
from tests.support.browser.chromium import Visit
from tests.support.browser.site import Site, serving
from tests.support.largest import Evidence, Largest, Settings
from tests.support.rows import FLAG, Made, made, user
from tests.support.services import free_port
from tests.support.with_largest import LARGEST
from tests.support.worker_view import worker_view

ALICE = user(1)
SPENT = [1000, 1200, 3000, 500]
MARKS = """async (user) => {
  const { Series } = await import(new URL("series.js", document.scripts[0].src));
  const series = new Series();
  await series.load(user, { from_date: "2018-01-01" }, AbortSignal.timeout(10_000));
  return series.figure({ log: false, held: 4 }).marks.map(({ kind, values }) => [kind, values]);
}"""


@pytest.fixture
def largest(monkeypatch: pytest.MonkeyPatch) -> Rule:
    """What a worker says that runs the second detector."""
    monkeypatch.setattr("stream_app.detectors.DETECTORS", DETECTORS | LARGEST)
    return rule_of(Largest(Settings(window_size=20, largest_factor=2, _env_file=None)))


def flagged(flag: Flag) -> list[Made]:
    """The third of four transactions."""
    return [
        made(ALICE, at, hundredths=amount, after=timedelta(minutes=at), flag=flag if at == 2 else None)
        for at, amount in enumerate(SPENT)
    ]


async def opened(site: Site, visit: Visit, flag: Flag) -> Page:
    """The user's page."""
    await site.store(*flagged(flag))
    await site.mirror(ALICE, SPENT[::-1])
    page = await visit.open(site.view(f"/users/{ALICE}?from_date=2018-01-01"))
    await expect(page.locator("#chart-amounts canvas")).to_be_visible()
    return page


async def test_a_second_detector_brings_its_own_words_and_lines(
    settings: ApiSettings, visit: Visit, largest: Rule
) -> None:
    async with worker_view(largest) as worker, serving(settings, worker_url=worker) as site:
        page = await opened(site, visit, Flag("largest", Evidence("12.00", 2, 2.5)))

        await expect(page.locator(".row.flagged .verdict")).to_have_text("2.5 × the most so far")  # noqa: RUF001 - as it is shown
        await expect(page.locator("#amounts-aside")).to_contain_text(largest.sentence)
        await expect(page.locator("#legend li")).to_have_text(["most expected"])
        await expect(page.locator("#window-facts")).to_contain_text("The next is flagged above₹60.00")
        assert await page.evaluate(MARKS, ALICE) == [
            ["line", [None, 20, 24, 60]],
            ["dots", [10, 12, None, 5]],
            ["diamonds", [None, None, 30, None]],
        ]
        await page.goto(site.view())
        await expect(page.locator("#feed li a")).to_have_text(
            "With ₹30.00, this user spends 2.5 × the ₹12 that was the most in 2 transactions"  # noqa: RUF001 - as it is shown
        )
        await expect(page.locator("#feed .ratio")).to_have_text("2.5 ×")  # noqa: RUF001 - as it is shown
        await page.close()  # before what it asks


async def test_a_flag_of_a_detector_that_nobody_knows_shows_its_fields(site: Site, visit: Visit) -> None:
    page = await opened(site, visit, Flag("former", Evidence("12.00", 2, 2.5)))

    await expect(page.locator(".row.flagged .verdict")).to_have_text("flagged by former")
    await page.goto(site.view())
    told = page.locator("#feed li a")
    await expect(told).to_contain_text("₹30.00 was flagged by former: ")
    for fact in ("largest 12.00", "seen 2", "times 2.5"):
        await expect(told).to_contain_text(fact)


async def test_while_no_worker_answers_no_line_is_drawn_and_it_comes_with_one(
    pages: Site, visit: Visit
) -> None:
    visit.expected = ("503",)  # no worker, and no topics, so no stream
    port = free_port()
    async with serving(pages.settings, worker_url=f"http://127.0.0.1:{port}") as site:
        page = await opened(site, visit, FLAG)
        aside, verdict = page.locator("#amounts-aside"), page.locator(".row.flagged .verdict")
        await expect(aside).to_contain_text(
            "No worker answers. So the rule is not known, and no line of it is drawn."
        )
        await expect(page.locator("#legend li")).to_have_count(0)
        await expect(page.locator("#window-facts")).not_to_contain_text("flagged above")
        await expect(verdict).to_have_text("flagged by rolling_mean")
        assert [kind for kind, _ in await page.evaluate(MARKS, ALICE)] == ["dots", "diamonds"]

        async with worker_view(port=port):
            await expect(verdict).to_have_text("6.2 × the mean of ₹2", timeout=20_000)  # noqa: RUF001 - as it is shown
            await expect(aside).to_contain_text("above 5 times the mean of the user's last 20")
            await expect(page.locator("#legend li")).to_have_text(["rolling mean", "threshold"])
        await expect(aside).to_contain_text("No worker answers.", timeout=20_000)
        await expect(verdict).to_have_text("6.2 × the mean of ₹2")  # noqa: RUF001 - as it is shown
        await page.close()

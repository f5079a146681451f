"""Flags and lines are those of the rule that a worker says it runs, whichever it is."""

import asyncio
import re
from contextlib import closing
from datetime import timedelta

import msgspec
import pytest
from playwright.async_api import Page, Route, expect

from api.settings import Settings as ApiSettings
from schemas.rule import Rule
from schemas.scored import Flag, Reason
from schemas.window_view import FlagStarts
from stream_app.detectors import DETECTORS, rule_of
from stream_app.detectors.odds import Odds
from stream_app.detectors.odds.evidence import Evidence as OddsEvidence
from stream_app.detectors.odds.settings import Settings as OddsSettings
from stream_app.scoring import Ensemble
from tests.support.browser.chromium import Visit
from tests.support.browser.site import Site, serving
from tests.support.detectors import rolling_mean
from tests.support.installation import until
from tests.support.largest import Evidence, Largest, Settings
from tests.support.rows import FLAG, Made, made, user
from tests.support.services import free_port
from tests.support.serving import DEAD
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

STARTS = """async (user) => {
  const { Series } = await import(new URL("series.js", document.scripts[0].src));
  const series = new Series();
  await series.load(user, { from_date: "2018-01-01" }, AbortSignal.timeout(10_000));
  const starts = { currency: "INR", flags_from: { odds: "42.33" } };
  return series.figure({ log: false, held: 4, starts }).marks.map(({ kind, values }) => [kind, values]);
}"""
RED_AT_THE_EDGE = """() => {
  const canvas = document.querySelector("#chart-amounts canvas");
  const right = document.querySelector("#chart-amounts .u-over").getBoundingClientRect().right;
  const scale = canvas.width / canvas.clientWidth;
  const from = (right - canvas.getBoundingClientRect().left - 6) * scale;
  const { data } = canvas.getContext("2d").getImageData(from, 0, 4 * scale, canvas.height);
  return [...data].some((red, at) => at % 4 === 0 && red > data[at + 1] + 60 && data[at + 3] > 100);
}"""
KNOWN = """async () => {
  const { rule } = await import(new URL("rule.js", document.scripts[0].src));
  return rule() !== null;
}"""
PAUSE = """async () => {
  const { followRule } = await import(new URL("rule.js", document.scripts[0].src));
  const later = window.setTimeout;
  const paused = new Promise((resolve) => {
    window.setTimeout = (step, milliseconds) => {
      if (milliseconds >= 5000) resolve(milliseconds);
      return later(step, milliseconds);
    };
  });
  followRule(() => {});
  return paused;
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


async def test_where_flags_start_is_drawn_where_the_worker_has_said_it(
    settings: ApiSettings, visit: Visit
) -> None:
    known = {"INR": FlagStarts("2018-04-01T00:00:31Z", {"odds": "42.33"})}
    evidence = OddsEvidence("10.50", 20, 2.86, "28.00", 2.67)
    async with (
        worker_view(rule_of(Odds(OddsSettings())), starts={ALICE: known}) as worker,
        serving(settings, worker_url=worker) as site,
    ):
        page = await opened(site, visit, Flag("odds", evidence))

        await expect(page.locator("#window-facts")).to_contain_text("The next is flagged from₹42.33")
        await expect(page.locator("#window-facts")).not_to_contain_text("flagged above")
        starts = page.locator("#legend .l-start")
        await expect(starts).to_have_text("flags start here: at each flag, and now")
        await until(lambda: page.evaluate(RED_AT_THE_EDGE))
        assert [mark for mark in await page.evaluate(STARTS, ALICE) if mark[0] in ("ticks", "onward")] == [
            ["ticks", [None, None, 28, None]],
            ["onward", [None, None, None, 42.33]],
        ]
        await page.close()  # before what it asks


async def test_who_only_watches_is_named_and_what_they_would_have_flagged_is_in_the_details(
    settings: ApiSettings, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_app.detectors.DETECTORS", DETECTORS | LARGEST)
    watching = Largest(Settings(window_size=20, largest_factor=2, _env_file=None))
    rule = rule_of(Ensemble([rolling_mean()], [watching]))
    shadow = {
        "largest": {"score": 2.5, "largest": "12.00", "seen": 2, "times": 2.5},
        "former": {"score": 7, "largest": "12.00"},
        "odd": "text",
    }
    row = made(ALICE, hundredths=3000, meta_data={"shadow": shadow})
    async with worker_view(rule) as worker, serving(settings, worker_url=worker) as site:
        await site.store(row)
        await site.mirror(ALICE, [3000])
        page = await visit.open(site.view(f"/users/{ALICE}?from_date=2018-01-01"))
        await expect(page.locator("#amounts-aside")).to_contain_text("Only watching: largest.")
        await expect(page.locator(".row.flagged")).to_have_count(0)

        await page.locator("#rows .row").first.get_by_role("button").click()

        said = page.locator("#details-body > p")
        await expect(said).to_have_count(2)
        for name, why in (
            ("largest", "With ₹30.00, this user spends 2.5"),
            ("former", "₹30.00 was flagged by former: score 7, largest 12.00"),
        ):
            whole = f"{name} only watches, and would have flagged it: {why}"
            await expect(said.filter(has_text=whole)).to_have_count(1)
        await page.close()  # before what it asks


async def test_a_flag_of_a_detector_that_nobody_knows_shows_its_fields(site: Site, visit: Visit) -> None:
    page = await opened(site, visit, Flag("former", Evidence("12.00", 2, 2.5)))

    await expect(page.locator(".row.flagged .verdict")).to_have_text("flagged by former")
    await page.goto(site.view())
    told = page.locator("#feed li a")
    await expect(told).to_contain_text("₹30.00 was flagged by former: ")
    for fact in ("largest 12.00", "seen 2", "times 2.5"):
        await expect(told).to_contain_text(fact)


async def test_a_flag_of_rules_says_each_reason(site: Site, visit: Visit) -> None:
    reasons = [Reason("many", "high", "7 payments in an hour"), Reason("far", "low", "far above")]
    page = await opened(site, visit, Flag("rules", {}, "0a1b2c3d", reasons))

    await expect(page.locator(".row.flagged .verdict")).to_have_text("7 payments in an hour")
    await page.goto(site.view())
    told = page.locator("#feed li a")
    await expect(told).to_contain_text("₹30.00: 7 payments in an hour; far above")


async def test_what_watched_and_what_allowed_it_is_in_the_details(pages: Site, visit: Visit) -> None:
    visit.expected = ("503",)  # no worker, and no topics, so no stream
    beside = {
        "allowed": [{"rule": "rent", "severity": "medium", "message": "rent"}],
        "watched": [
            {"rule": "many", "severity": "high", "message": "7 payments in an hour", "numbers": {}},
            {"detector": "former", "largest": "12.00"},
            "odd",
        ],
    }
    row = made(ALICE, hundredths=3000, meta_data=beside)
    await pages.store(row)
    await pages.mirror(ALICE, [3000])
    page = await visit.open(pages.view(f"/users/{ALICE}?from_date=2018-01-01"))

    await page.locator("#rows .row").first.get_by_role("button").click()

    await expect(page.locator("#details-body > p")).to_have_text(
        [
            "Allowed by rule rent (medium)",
            "Watched by rule many (high): 7 payments in an hour",
            "Watched, not flagged: ₹30.00 was flagged by former: largest 12.00",
        ]
    )
    await expect(page.locator(".row.flagged")).to_have_count(0)


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
            await expect(verdict).to_have_text("6.2 × the mean of ₹2", timeout=40_000)  # noqa: RUF001 - as it is shown
            await expect(aside).to_contain_text("above 5 times the mean of the user's last 20")
            await expect(page.locator("#legend li")).to_have_text(["rolling mean", "threshold"])
        await expect(aside).to_contain_text("No worker answers.", timeout=40_000)
        await expect(verdict).to_have_text("6.2 × the mean of ₹2")  # noqa: RUF001 - as it is shown
        await page.close()


async def test_a_view_is_shown_while_a_worker_hangs(pages: Site, visit: Visit) -> None:
    visit.expected = ("503",)  # no topics, so no stream

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await reader.read()
            await asyncio.get_running_loop().create_future()

    async with await asyncio.start_server(hang, "127.0.0.1") as worker:
        url = "http://{}:{}".format(*worker.sockets[0].getsockname())
        async with serving(pages.settings, worker_url=url, dependency_seconds=60) as site:
            page = await visit.open(site.view("/users"))
            await expect(page.locator("#users")).to_be_visible()
            await page.close()


async def test_while_no_worker_answers_it_is_asked_less_often(pages: Site, visit: Visit) -> None:
    visit.expected = ("503",)
    async with serving(pages.settings, worker_url=f"http://{DEAD}") as site:
        page = await visit.open(site.view("/users"))
        assert await page.evaluate(PAUSE) >= 10_000
        await page.close()


async def test_rows_are_loaded_once_though_the_rule_becomes_known_late(pages: Site, visit: Visit) -> None:
    visit.expected = ("503",)  # no topics, so no stream
    known, asked = asyncio.Event(), list[str]()

    async def answer(route: Route) -> None:
        await known.wait()
        await route.continue_()

    await pages.store(*(made(ALICE, number) for number in range(540)))
    await pages.mirror(ALICE, SPENT)
    await visit.context.route("**/dashboard/data/rule", answer)
    visit.context.on("request", lambda request: asked.append(request.url))
    page = await visit.open(pages.view(f"/users/{ALICE}?from_date=2018-01-01"))
    await expect(page.locator("#chart-amounts")).to_have_attribute("aria-label", re.compile("^500 amounts"))

    known.set()

    await expect(page.locator("#legend li")).to_have_count(2)
    await expect(page.locator("#window-facts")).to_contain_text("flagged above")
    assert len([url for url in asked if "/transactions?" in url and "limit=100&" not in url]) == 1


async def test_a_rule_that_looks_further_back_has_more_rows_loaded(pages: Site, visit: Visit) -> None:
    visit.expected = ("503",)  # no topics, so no stream
    sizes = [12, 30]

    async def answer(route: Route) -> None:
        rule = rule_of(rolling_mean(sizes[0]))
        await route.fulfill(body=msgspec.json.encode(rule), content_type="application/json")

    await pages.store(*(made(ALICE, number) for number in range(540)))
    await pages.mirror(ALICE, SPENT)
    await visit.context.route("**/dashboard/data/rule", answer)
    page = await visit.open(pages.view("/users"))
    await until(lambda: page.evaluate(KNOWN))
    await page.goto(pages.view(f"/users/{ALICE}?from_date=2018-01-01"))
    await expect(page.locator("#amounts-aside")).to_contain_text("mean of the user's last 12")
    async with page.expect_request(lambda request: "limit=530" in request.url):
        sizes.pop(0)
    await expect(page.locator("#amounts-aside")).to_contain_text("mean of the user's last 30")
    await page.close()


SAID = r"""async ([words, rows]) => {
  const { learn, sentence, verdict } = await import(new URL("words.js", document.scripts[0].src));
  learn(words);
  return rows.map((row) => [sentence(row), verdict(row)].map((text) => text.replaceAll("\u00d7", "x")));
}"""
ODDS = {
    "detector": "odds",
    "mean": "10.12",
    "window": 30,
    "ratio": 7.91,
    "threshold": "33.84",
    "flags_from": 3.34,
}


async def test_a_detector_may_have_several_sentences(settings: ApiSettings, visit: Visit) -> None:
    words = msgspec.to_builtins(rule_of(rolling_mean()).words)
    lacking = {name: value for name, value in ODDS.items() if name != "flags_from"}
    flags = [ODDS, {**ODDS, "above_limit": "60.00"}, {**ODDS, "population_mean": "53.00"}, lacking]
    rows = [{"amount": "80.00", "currency": "EUR", "meta_data": flag} for flag in flags]
    async with serving(settings) as site:
        page = await visit.open(site.view("/"))

        said = await page.evaluate(SAID, [words, rows])
        await page.close()

    assert said[0] == [
        "€80.00 is 7.9 x this user's usual €10.12 (30 payments); flags start at 3.3 x",
        "7.9 x the usual €10.12",
    ]
    assert said[1][0] == "€80.00 is above €60, from where on nearly all were frauds"
    assert said[2][0].endswith("of a user of 30 payments where others spend €53; flags start at 3.3 x")
    assert said[3][0].startswith("€80.00 was flagged by odds: mean 10.12")

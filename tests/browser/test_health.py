"""The view of everything that this rests on, and the documentation's page."""

import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from playwright.async_api import expect
from pydantic import SecretStr

from api.settings import Settings
from tests.support.browser.chromium import Visit
from tests.support.browser.site import Site, serving
from tests.support.installation import Installation
from tests.support.services import free_port
from tests.support.serving import DEAD


async def test_it_shows_what_is_up_and_that_no_worker_runs(site: Site, visit: Visit) -> None:
    page = await visit.open(site.view("/health"))

    for name in ("api", "kafka", "postgres", "redis"):
        await expect(page.locator(f'[data-service="{name}"] .state')).to_have_text("Up")
    await expect(page.locator("#workers")).to_have_text("No worker is running: nothing is being scored.")
    await expect(page.locator("#partitions li").first).to_contain_text("Partition 0 · held by nobody")


async def test_it_shows_refused_messages_by_reason_and_the_last_of_them(site: Site, visit: Visit) -> None:
    async with AIOKafkaProducer(bootstrap_servers=site.settings.kafka) as producer:
        for reason, value in (("json", b"{"), ("amount", b'{"amount":"<b>1.005</b>"}'), ("amount", b"NaN")):
            headers = [("reason", reason.encode()), ("detail", b"<i>what</i> was wrong")]
            await producer.send_and_wait(site.settings.dlq_topic, value, headers=headers, partition=1)

    page = await visit.open(site.view("/health"))

    await expect(page.locator("#refused-aside")).to_have_text("3 messages, 3 of them in the last minute")
    await expect(page.locator("#reasons li")).to_have_text(["amount2", "json1"])
    await expect(page.locator("#refused-last li")).to_have_count(3)
    second = page.locator("#refused-last details").nth(1)
    await second.locator("summary").click()
    await expect(second.locator("pre")).to_have_text('{"amount":"<b>1.005</b>"}')
    await expect(second.locator(".what")).to_have_text("<i>what</i> was wrong")


NOWHERE: dict[str, Any] = {
    "kafka": DEAD,
    "postgres": SecretStr(f"postgresql://{DEAD}/txnwatch"),
    "redis": SecretStr(f"redis://{DEAD}/0"),
}


@pytest.mark.parametrize("down", NOWHERE)
async def test_what_is_down_is_said_to_be_and_the_rest_goes_on(
    settings: Settings, visit: Visit, down: str
) -> None:
    visit.expected = ("503",)
    working = "Kafka does not answer." if down == "kafka" else f"group {settings.app_id}: none has ever run"
    async with serving(settings, dependency_seconds=0.5, **{down: NOWHERE[down]}) as cut_off:
        page = await visit.open(cut_off.view("/health"))

        for name in ("api", *NOWHERE):
            service = page.locator(f'[data-service="{name}"]')
            await expect(service.locator(".state")).to_have_text("Down" if name == down else "Up")
        await expect(page.locator("#workers-aside")).to_have_text(working)


SHARED = """() => {
  const held = [...document.querySelectorAll("#workers > li:not(.empty)")].map((one) => [
    one.querySelector("strong").textContent.split(":").at(-1),
    [...one.querySelectorAll(".chips li:not(.none)")].map((chip) => Number(chip.textContent)),
  ]);
  return held.length === 2 && held.every(([, partitions]) => partitions.length) && held;
}"""
"""Each worker's port and partitions, once there are two at work."""


async def test_two_workers_are_shown_with_the_partitions_that_each_of_them_holds(
    environment: dict[str, str], site: Site, visit: Visit, tmp_path: Path
) -> None:
    one, other = environment["TXNWATCH_WEB_PORT"], str(free_port())
    installation = Installation(environment)
    page = await visit.open(site.view("/health"))
    names = page.locator("#partitions .name")
    with installation.worker() as first:
        with installation.worker(TXNWATCH_WEB_PORT=other, TXNWATCH_DATADIR=str(tmp_path / "other")):
            shared = await page.wait_for_function(SHARED, timeout=90_000)
            held: dict[str, list[int]] = dict(await shared.json_value())

            assert set(held) == {one, other}
            assert sorted(held[one] + held[other]) == [0, 1, 2, 3]
            holder = {partition: port for port, partitions in held.items() for partition in partitions}
            await expect(names).to_have_text(
                [re.compile(rf"^Partition {number} · .*:{holder[number]}$") for number in range(4)]
            )

            first.terminate()
            await expect(names).to_have_text([re.compile(f":{other}$")] * 4, timeout=90_000)
        await expect(page.locator("#workers strong")).to_have_count(1)


LATE = """
INSERT INTO sink_offsets (app_id, topic, partition, epoch, next_offset)
SELECT $1, $2, partition, 1, 9 FROM generate_series(0, 3) AS partition
"""
DECIDED = """
INSERT INTO decisions (seq, kind, body, who, why, at)
VALUES (1, 'rules', '{}', 'ann', '', clock_timestamp() - interval '1 minute')
"""
APPLIED = """
INSERT INTO decisions_applied (app_id, topic, partition, seq, from_offset)
SELECT $1, $2, partition, 1, 9 FROM generate_series($3::int, $4) AS partition
"""


async def test_partitions_that_lack_a_decision_for_long_are_counted_until_they_have_it(
    site: Site, visit: Visit, database: str
) -> None:
    place = site.settings.app_id, site.settings.transactions_topic
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(LATE, *place)
        await connection.execute(DECIDED)
        await connection.execute(APPLIED, *place, 0, 1)
        page = await visit.open(site.view("/health"))
        aside = page.locator("#workers-aside")
        await expect(aside).to_contain_text("2 partitions without decision 1, which was made over 10 s ago")

        await connection.execute(APPLIED, *place, 2, 3)
        await expect(aside).not_to_contain_text("without decision", timeout=40_000)
    finally:
        await connection.close()


async def test_an_api_that_went_away_is_said_to_be_down(site: Site, visit: Visit) -> None:
    visit.expected = ("Failed to load resource", "ERR_")
    page = await visit.open(site.view("/health"))
    await expect(page.locator('[data-service="api"] .state')).to_have_text("Up")

    await site.stop()

    await expect(page.locator('[data-service="api"] .state')).to_have_text("Down")
    await expect(page.locator('[data-service="kafka"] .state')).to_have_text("Not known")


async def test_the_documentation_shows_every_route(pages: Site, visit: Visit) -> None:
    page = await visit.open(f"{pages.url}/docs")

    await expect(page.get_by_role("heading", name="txnwatch")).to_be_visible()
    await expect(page.locator('.opblock:has-text("/dashboard/data/pulse")')).to_be_visible()
    await expect(page.locator('.opblock:has-text("/sse/anomalies")')).to_be_visible()

"""The view of everything that this rests on, and the documentation's page."""

from aiokafka import AIOKafkaProducer
from playwright.async_api import expect

from tests.browser.chromium import Visit
from tests.browser.site import Site, serving


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

    await expect(page.locator("#refused-aside")).to_have_text("3 messages")
    await expect(page.locator("#reasons li")).to_have_text(["amount2", "json1"])
    await expect(page.locator("#refused-last li")).to_have_count(3)
    second = page.locator("#refused-last details").nth(1)
    await second.locator("summary").click()
    await expect(second.locator("pre")).to_have_text('{"amount":"<b>1.005</b>"}')
    await expect(second.locator(".what")).to_have_text("<i>what</i> was wrong")


async def test_what_is_down_is_said_to_be_and_the_rest_goes_on(site: Site, visit: Visit) -> None:
    visit.expected = ("503",)
    async with serving(site.settings, kafka="127.0.0.1:1", dependency_seconds=0.5) as cut_off:
        page = await visit.open(cut_off.view("/health"))

        await expect(page.locator('[data-service="kafka"] .state')).to_have_text("Down")
        await expect(page.locator('[data-service="postgres"] .state')).to_have_text("Up")
        await expect(page.locator("#workers-aside")).to_have_text("Kafka does not answer.")


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

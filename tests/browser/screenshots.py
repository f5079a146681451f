"""Takes the pictures in docs/: real services, a real worker, made-up traffic from fixed seeds.

.venv/bin/python -m tests.browser.screenshots
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
from playwright.async_api import Browser, expect

from infra.embedded import cluster
from infra.migrate import migrate
from infra.settings import Settings
from infra.topics import ensure_topics
from tests.browser import chromium
from tests.browser.chromium import visiting
from tests.installation import Installation, until
from tests.services import embedded_datadir, free_port

DOCS = Path(__file__).parents[2] / "docs"
SIZE = {"width": 1280, "height": 800}
# Traffic that is always there, and waves on top of it: (seed, users, a second, seconds).
ALWAYS = (1, 12, 20)
WAVES = ((2, 80, 100, 35), (3, 80, 220, 30), (4, 80, 60, 45), (5, 80, 160, 40))
PERSON = str(UUID(int=7, version=4))
REFUSED = (
    b'{"id": "not a UUID"}',
    b'{"amount": ',
    b"null",
    json.dumps({"id": PERSON, "user_id": PERSON, "amount": "1.005", "currency": "INR"}).encode(),
    json.dumps({"id": PERSON, "user_id": PERSON, "amount": "NaN", "currency": "INR"}).encode(),
)


@asynccontextmanager
async def installation() -> AsyncIterator[Installation]:
    """Everything but the traffic."""
    with embedded_datadir() as datadir:
        addresses = await asyncio.to_thread(cluster.up, datadir)
        await ensure_topics(Settings(kafka_bootstrap_servers=addresses.kafka))
        await migrate(addresses.postgres)
        ports = {"TXNWATCH_API_PORT": str(free_port()), "TXNWATCH_WEB_PORT": str(free_port())}
        yield Installation(
            {
                **addresses.as_env(),
                **ports,
                "TXNWATCH_TRANSACTIONS_TOPIC": "transactions",
                "TXNWATCH_DATADIR": str(datadir / "worker"),
            }
        )


def made_up(seed: int, users: int, rate: int) -> list[str]:
    """The command that makes traffic up."""
    return ["txnwatch", "produce", *f"--generate --seed {seed} --users {users} --rate {rate}".split()]


async def waves(one: Installation) -> None:
    """Some minutes with ups and downs."""
    for *kind, seconds in WAVES:
        with one.command(*made_up(*kind)):
            await asyncio.sleep(seconds)


async def busiest(api: str) -> str:
    """The user with the most flags."""
    async with aiohttp.ClientSession() as session, session.get(f"{api}/anomalies?limit=1000") as response:
        rows: list[dict[str, Any]] = (await response.json())["transactions"]
    counted = Counter(str(row["user_id"]) for row in rows)
    return max(sorted(counted), key=lambda user: counted[user])


async def take(browser: Browser, api: str) -> None:
    """The three pictures."""
    views = (
        ("live", "/live", "#delay-aside:has-text('flags')", "light"),
        ("user", f"/users/{await busiest(api)}", "#chart-amounts .main-svg", "light"),
        ("health", "/health", '[data-service="redis"][data-state="up"]', "dark"),
    )
    for name, address, shown, theme in views:
        async with visiting(browser, viewport=SIZE, color_scheme=theme) as visit:
            page = await visit.open(f"{api}/dashboard#{address}")
            await expect(page.locator(shown).first).to_be_visible(timeout=60_000)
            await asyncio.sleep(12)  # a line for what is scored, and flags to measure the way by
            await page.screenshot(path=DOCS / f"{name}.png")


async def main() -> None:
    """Starts it all, waits until there is something to see, and ends it all."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(installation())
        stack.enter_context(one.worker())
        stack.enter_context(one.command("txnwatch", "api"))
        api = f"http://127.0.0.1:{one.environment['TXNWATCH_API_PORT']}"
        await until(lambda: answers(api))
        stack.enter_context(one.command(*made_up(*ALWAYS)))
        await one.send([(PERSON.encode(), value) for value in REFUSED])
        await waves(one)
        browser = await stack.enter_async_context(chromium.started())
        stack.enter_context(one.command(*made_up(6, 80, 90)))
        await take(browser, api)


async def answers(api: str) -> bool:
    """Whether the API is ready."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{api}/ready") as response:
            return response.ok
    except aiohttp.ClientError:
        return False


if __name__ == "__main__":
    asyncio.run(main())

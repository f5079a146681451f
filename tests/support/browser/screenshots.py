"""Takes the pictures in docs/: real services, a real worker, made-up traffic from fixed seeds.

.venv/bin/python -m tests.support.browser.screenshots
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
from playwright.async_api import Page

from infra.embedded import cluster
from infra.migrate import migrate
from infra.runtime.settings import Settings
from infra.topics import ensure_topics
from tests.support.browser import chromium
from tests.support.browser.chromium import visiting
from tests.support.installation import Installation, until
from tests.support.services import embedded_datadir, free_port


def there(selector: str) -> str:
    """The condition that something like this is in the page."""
    return f"document.querySelector('{selector}')"


DOCS = Path(__file__).parents[3] / "docs"
SIZE = {"width": 1280, "height": 800}
# Traffic that is always there, and waves on top of it: (seed, users, a second, seconds).
ALWAYS = (1, 12, 20)
WAVES = ((2, 80, 100, 70), (3, 80, 220, 60), (4, 80, 60, 90), (5, 80, 160, 80))
DELAYS = "document.getElementById('delay-aside').textContent.startsWith('median of 20')"
PICTURES = {
    "live": (DELAYS,),
    "user": (
        there("#chart-amounts canvas"),
        there("#legend li"),
        there("#rows .row"),
        there("#window-facts dd"),
    ),
    "health": (there("#workers .chips"), there("#reasons li"), there("#refused-last li")),
}
"""What holds in a page that is worth a picture."""
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
        await ensure_topics(Settings(kafka=addresses.kafka))
        await migrate(addresses.postgres)
        api, worker = free_port(), free_port()
        yield Installation(
            {
                **addresses.as_env(),
                "TXNWATCH_API_PORT": str(api),
                "TXNWATCH_WEB_PORT": str(worker),
                "TXNWATCH_WORKER_URL": f"http://127.0.0.1:{worker}",
                "TXNWATCH_TRANSACTIONS_TOPIC": "transactions",
                "TXNWATCH_DATADIR": str(datadir / "worker"),
            }
        )


def made_up(seed: int, users: int, rate: int) -> list[str]:
    """The command that makes traffic up."""
    return ["txnwatch", "produce", *f"--generate --seed {seed} --users {users} --rate {rate}".split()]


async def waves(one: Installation) -> None:
    """The five minutes that a chart shows, with ups and downs."""
    for *kind, seconds in WAVES:
        with one.command(*made_up(*kind)):
            await asyncio.sleep(seconds)


async def busiest(api: str) -> str:
    """The user with the most flags."""
    async with aiohttp.ClientSession() as session, session.get(f"{api}/anomalies?limit=1000") as response:
        rows: list[dict[str, Any]] = (await response.json())["transactions"]
    counted = Counter(str(row["user_id"]) for row in rows)
    return max(sorted(counted), key=lambda user: counted[user])


async def take(page: Page, name: str) -> None:
    """One of the pictures, once all that it needs is in the page."""
    for condition in PICTURES[name]:
        # As a function: a text would be evaluated in the page, which its policy forbids.
        await page.wait_for_function(f"() => {condition}", timeout=120_000)
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
        browser = await stack.enter_async_context(chromium.started())
        bright, dark = [
            await stack.enter_async_context(visiting(browser, viewport=SIZE, color_scheme=scheme))
            for scheme in ("light", "dark")
        ]
        # What is scored is counted while somebody looks: somebody does, from the beginning.
        live = await bright.open(f"{api}/dashboard")
        await waves(one)
        stack.enter_context(one.command(*made_up(6, 80, 90)))
        await take(live, "live")
        flagged = f"/users/{await busiest(api)}?is_anomaly=true"
        user = await bright.open(f"{api}/dashboard#{flagged}")
        await take(user, "user")
        health = await dark.open(f"{api}/dashboard#/health")
        await take(health, "health")


async def answers(api: str) -> bool:
    """Whether the API is ready."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{api}/ready") as response:
            return response.ok
    except aiohttp.ClientError:
        return False


if __name__ == "__main__":
    asyncio.run(main())

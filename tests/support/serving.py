"""Starts the application in the test's own process."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from api.app import create_app
from api.settings import Settings

Client = TestClient[web.Request, web.Application]
PATIENCE = 20.0
"""Seconds."""
DEAD = "127.0.0.1:1"
"""Nothing listens there."""


def settings_from(environment: Mapping[str, str], **overrides: Any) -> Settings:
    """The settings of this environment alone, whatever the real one and a .env file say."""
    own: dict[str, Any] = {
        "TXNWATCH_CURSOR_KEY": "a key for tests",
        "TXNWATCH_WORKER_URL": f"http://{DEAD}",
        # Not 3 s: beside other tests Kafka took longer to answer a first question, and the API said so.
        "dependency_seconds": 10,
    }
    given: dict[str, Any] = {**own, **environment}
    return Settings(_env_file=None, **{**given, **overrides})


def changed(settings: Settings, **overrides: Any) -> Settings:
    """The same settings with some fields, by name, changed."""
    return settings.model_copy(update=overrides)


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)


@asynccontextmanager
async def serving(
    settings: Settings, *, clock: Callable[[], datetime] = now, **overrides: Any
) -> AsyncIterator[Client]:
    """A client of a running application with these settings; both end with the block."""
    app = create_app(changed(settings, **overrides), now=clock)
    server = TestServer(app)
    async with TestClient(server) as client:
        yield client


async def counted(client: Client, name: str) -> float:
    """A number of /metrics, its labels summed up."""
    async with client.get("/metrics") as response:
        text = await response.text()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))


async def until(client: Client, name: str, expected: float) -> None:
    """Returns when this number of /metrics is as expected."""
    async with asyncio.timeout(PATIENCE):
        while await counted(client, name) != expected:  # noqa: ASYNC110 - it is on the other side of HTTP
            await asyncio.sleep(0.02)

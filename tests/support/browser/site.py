"""The API as a browser meets it: on a port that stays the same over a restart."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from aiohttp import web
from redis.asyncio import Redis

from api.app import create_app
from api.settings import Settings
from tests.support.rows import Made, store
from tests.support.services import free_port
from tests.support.serving import changed
from tests.support.worker_view import worker_view


class Site:
    """One installation's API, started and stopped as often as a test likes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.port = free_port()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def view(self, address: str = "") -> str:
        """The dashboard at this address after the `#`."""
        return f"{self.url}/dashboard#{address}"

    async def start(self) -> None:
        """Serve."""
        runner = web.AppRunner(create_app(self.settings), shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self._runner = runner

    async def stop(self) -> None:
        """Serve no more; idempotent."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def store(self, *many: Made) -> None:
        """Puts rows where the worker puts them."""
        await store(self.settings.postgres.get_secret_value(), many)

    async def mirror(
        self, user_id: str, hundredths: list[int], *, last_offset: int = 41, currencies: str = ""
    ) -> None:
        """Puts a user's window where the worker's mirror puts it, the newest amount first.

        Of several currencies each has one of its own, of `{user}:{currency}`, and the user's names them all.
        """
        amounts = [f"{amount // 100}.{amount % 100:02d}" for amount in hundredths]
        total = sum(hundredths)
        mean = round(total / len(hundredths))
        window: Any = {
            "count": len(amounts),
            "sum": f"{total // 100}.{total % 100:02d}",
            "mean": f"{mean // 100}.{mean % 100:02d}",
            "last_offset": last_offset,
            "updated_at": "2018-04-01T00:00:31+00:00",
        }
        async with (
            Redis.from_url(self.settings.redis.get_secret_value()) as redis,
            redis.pipeline(transaction=True) as changes,
        ):
            changes.hset(f"user:{user_id}:window", mapping=window)
            if currencies:
                changes.hset(f"user:{user_id}:window", "currencies", currencies)
            changes.delete(f"user:{user_id}:txn_amounts")
            changes.rpush(f"user:{user_id}:txn_amounts", *amounts)
            await changes.execute()


@asynccontextmanager
async def serving(settings: Settings, **overrides: Any) -> AsyncIterator[Site]:
    """A site that is up, with a worker that says which rule it runs; both end with the block."""
    async with worker_view() as worker:
        site = Site(changed(settings, **{"retry_milliseconds": 200, "worker_url": worker, **overrides}))
        await site.start()
        try:
            yield site
        finally:
            await site.stop()


async def stored(database: str) -> int:
    """How many rows Postgres holds."""
    connection = await asyncpg.connect(database)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM transactions"))
    finally:
        await connection.close()

"""The transactional output of one partition, alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from infra.runtime.shared_client import ClientPool
from stream_app.settings import Settings
from stream_app.sinks.kafka import TransactionalOutput


@asynccontextmanager
async def transactional_output(
    partition: int, settings: Settings, rule: str = ""
) -> AsyncIterator[TransactionalOutput]:
    """One that is started, over clients of its own."""
    clients = ClientPool(settings, "output")
    try:
        async with TransactionalOutput(partition, settings, clients, rule) as output:
            yield output
    finally:
        await clients.close()

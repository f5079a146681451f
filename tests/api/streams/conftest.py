"""The application with topics, and somebody who publishes to them."""

from collections.abc import AsyncIterator

import pytest

from api.settings import Settings
from tests.support.rows import Worker
from tests.support.serving import Client, serving


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    """A client of the application with topics."""
    async with serving(settings) as one:
        yield one


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[Worker]:
    """Publishes to the scored topic."""
    async with Worker(settings.kafka, settings.scored_topic) as one:
        yield one

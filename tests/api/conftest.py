"""The application under test, on services of the test's own."""

from collections.abc import AsyncIterator

import pytest

from api.settings import Settings
from infra.embedded.cluster import Addresses
from tests.support.serving import Client, serving, settings_from


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    """The API's settings for this test's installation."""
    return settings_from(environment)


@pytest.fixture
def pages_settings(services: Addresses, database: str, redis_url: str) -> Settings:
    """The same without topics, which take a while to make."""
    return settings_from({**services.as_env(), "POSTGRES_URL": database, "REDIS_URL": redis_url})


@pytest.fixture
async def client(pages_settings: Settings) -> AsyncIterator[Client]:
    """A client of the application without topics, with the cache off so that it sees each row at once."""
    async with serving(pages_settings, query_cache_seconds=0) as one:
        yield one

"""The application under test, on services of the test's own."""

from collections.abc import AsyncIterator

import pytest

from api.settings import Settings
from tests.api.serving import Client, serving, settings_from


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    """The API's settings for this test's installation."""
    return settings_from(environment)


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    """A client of the application, with the cache off so that it sees each row at once."""
    async with serving(settings, query_cache_seconds=0) as one:
        yield one

"""A browser, and the API for it to visit. Everything here is skipped where there is no Chromium."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from api.settings import Settings
from infra.embedded.cluster import Addresses
from tests.support.browser import chromium
from tests.support.browser.chromium import Visit, visiting
from tests.support.browser.site import Site, serving
from tests.support.serving import settings_from

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a browser where there is none."""
    if chromium.find():
        return
    reason = f"no Chromium: none of {', '.join(chromium.NAMES)} is installed"
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium.started() as one:
        yield one


@pytest.fixture
async def visit(browser: Browser) -> AsyncIterator[Visit]:
    """A visitor at 1280 pixels."""
    async with visiting(browser) as one:
        yield one


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    return settings_from(environment)


@pytest.fixture
async def site(settings: Settings) -> AsyncIterator[Site]:
    """The API of an installation of this test's own, with topics."""
    async with serving(settings) as one:
        yield one


@pytest.fixture
async def pages(services: Addresses, database: str, redis_url: str) -> AsyncIterator[Site]:
    """The same without topics, for what needs no live data."""
    settings = settings_from({**services.as_env(), "POSTGRES_URL": database, "REDIS_URL": redis_url})
    async with serving(settings) as one:
        yield one

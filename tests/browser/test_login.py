"""Logging in by the keyboard, a wrong password, a session that has expired, logging out everywhere."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from playwright.async_api import Page, expect
from pydantic import SecretStr

from infra.access import store
from infra.access.secrets import hashed
from schemas.access import Scope
from tests.support.browser.chromium import Visit
from tests.support.browser.site import Site, serving
from tests.support.identity_provider import CLIENT, SECRET, identity_provider
from tests.support.serving import changed

PASSWORD = "a password of hers"  # noqa: S105 - of this test's alone
SHOTS = ("401", "Failed to load resource")


@pytest.fixture
async def guarded(pages: Site, visit: Visit) -> AsyncIterator[Site]:
    """The API with an account, which has to log in."""
    visit.expected = SHOTS
    connection = await asyncpg.connect(pages.settings.postgres.get_secret_value())
    await store.add_account(connection, "ann", hashed(PASSWORD), [Scope.READ], "test")
    await connection.close()
    async with serving(pages.settings, login="required") as one:
        yield one


async def log_in(page: Page, password: str = PASSWORD) -> None:
    """By the keyboard alone."""
    await expect(page.locator('[name="name"]')).to_be_focused()
    await page.keyboard.type("ann")
    await page.keyboard.press("Tab")
    await page.keyboard.type(password)
    await enter(page)


async def enter(page: Page) -> None:
    """Send it, and wait for the answer: to check a password takes seconds where many others work."""
    async with page.expect_response(lambda one: one.request.method == "POST"):
        await page.keyboard.press("Enter")


async def test_who_logs_in_comes_to_the_page_that_was_asked_for(guarded: Site, visit: Visit) -> None:
    page = await visit.open(f"{guarded.url}/docs")
    await expect(page).to_have_url(f"{guarded.url}/login?next=docs")
    await log_in(page, "another password")
    await expect(page.get_by_role("alert")).to_have_text("No such name, or another password.")
    await expect(page.locator('[name="password"]')).to_be_focused()

    await page.keyboard.type(PASSWORD)  # what was typed before is selected
    await enter(page)

    await expect(page).to_have_url(f"{guarded.url}/docs")


async def test_no_other_site_is_gone_to(guarded: Site, visit: Visit) -> None:
    page = await visit.open(f"{guarded.url}/login?next=https%3A%2F%2Fattacker.example%2Fdashboard")
    await log_in(page)

    await expect(page).to_have_url(f"{guarded.url}/dashboard")
    await expect(page.locator("#account-name")).to_have_text("ann")


async def test_who_logs_in_at_the_provider_comes_to_the_page_that_was_asked_for(
    guarded: Site, visit: Visit
) -> None:
    async with identity_provider() as provider, serving(guarded.settings) as site:
        await site.stop()
        own = {"oidc_issuer": provider.url, "oidc_url": site.url, "oidc_rights": '{"fraud": ["read"]}'}
        secret = {"oidc_client_id": CLIENT, "oidc_client_secret": SecretStr(SECRET)}
        provider.document = {"end_session_endpoint": f"{provider.url}/logout"}
        site.settings = changed(site.settings, **own, **secret, oidc_log_out=True)
        visit.elsewhere = provider.url
        await site.start()
        page = await visit.open(site.view("/health"))
        await page.get_by_role("link", name="Log in with single sign-on").click()

        await expect(page.locator("#account-name")).to_have_text("ann@example.org")
        await expect(page).to_have_url(site.view("/health"))
        await page.locator("#account-name").click()
        await page.get_by_role("button", name="Log out", exact=True).click()
        await expect(page).to_have_url(f"{site.url}/login")
        assert provider.asked[-1] == "/logout"
        provider.claims["groups"] = []
        await page.get_by_role("link", name="Log in with single sign-on").click()
        await expect(page.get_by_role("main")).to_contain_text("ann@example.org has no rights here")


async def test_a_session_that_has_expired_leads_to_the_login_and_back(guarded: Site, visit: Visit) -> None:
    page = await visit.open(guarded.view("/health"))
    await log_in(page)
    await expect(page.locator("#account-name")).to_have_text("ann")
    connection = await asyncpg.connect(guarded.settings.postgres.get_secret_value())
    await connection.execute("UPDATE access_sessions SET expires_at = now()")
    await connection.close()

    await expect(page).to_have_url(f"{guarded.url}/login?next=dashboard%23%2Fhealth", timeout=20_000)
    await log_in(page)
    await expect(page).to_have_url(guarded.view("/health"))


async def test_to_log_out_everywhere_ends_the_other_tab_too(guarded: Site, visit: Visit) -> None:
    first = await visit.open(guarded.view("/health"))
    await log_in(first)
    await expect(first.locator("#account-name")).to_have_text("ann")
    second = await visit.open(guarded.view("/health"))
    await second.locator("#account-name").click()
    await second.get_by_role("button", name="Log out everywhere").click()

    await expect(second).to_have_url(f"{guarded.url}/login?next=dashboard%23%2Fhealth")
    await expect(first).to_have_url(f"{guarded.url}/login?next=dashboard%23%2Fhealth", timeout=20_000)

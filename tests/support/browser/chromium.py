"""The system's Chromium, driven by Playwright, and what a page must never do."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, Page, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",  # Chromium does not start as root with it, and sees pages of our own alone
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LANGUAGE = "en-US"


def find() -> str | None:
    """The path of the system's Chromium."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@asynccontextmanager
async def started() -> AsyncIterator[Browser]:
    """Chromium with a profile of its own, until the block ends."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find(), args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


@dataclass(slots=True)
class Visit:
    """One visitor: what the pages that it has open did that no page of ours may."""

    context: BrowserContext
    wrongs: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()
    """Parts of console errors that a test brings about, such as those of a server that is away."""
    elsewhere: str = ""
    """Where else a test has it go."""

    async def open(self, url: str) -> Page:
        """A new page that has loaded this address."""
        page = await self.context.new_page()
        home = urlsplit(url).netloc
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self._note("error", str(error)))
        page.on("dialog", lambda dialog: self._note("error", f"dialog: {dialog.message}"))
        page.on("request", lambda request: self._watch(home, request.url))
        await page.goto(url)
        return page

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(part in text for part in self.expected):
            self.wrongs.append(text)

    def _watch(self, home: str, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("blob", "data") and parts.netloc not in (
            home,
            urlsplit(self.elsewhere).netloc,
        ):
            self.wrongs.append(f"asked {url}")


async def see(page: Page, state: Literal["hidden", "visible"]) -> None:
    """Tells the page that it is seen or not: a browser without a screen shows all of its pages."""
    await page.evaluate(
        """state => {
          Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
          Object.defineProperty(document, "hidden", { value: state === "hidden", configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        state,
    )


async def unshared(context: BrowserContext) -> None:
    """Have tabs hold their streams themselves: requests and clock of a shared worker cannot be changed."""
    await context.add_init_script("delete window.SharedWorker")


@asynccontextmanager
async def visiting(browser: Browser, **options: Any) -> AsyncIterator[Visit]:
    """A visitor with a profile of its own; fails at the end if a page did what it must not."""
    given: dict[str, Any] = {"locale": LANGUAGE, "viewport": {"width": 1280, "height": 860}}
    context = await browser.new_context(**given | options)
    context.set_default_timeout(20_000)
    visit = Visit(context)
    try:
        yield visit
    finally:
        await context.close()
    assert not visit.wrongs, visit.wrongs

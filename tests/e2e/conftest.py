"""A real browser on a scripted server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.e2e.editor import Editor
from tests.e2e.fake_server import FakeServer

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for one module: while it is open, an event loop runs, and other modules want their own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    server = FakeServer().start()
    yield server
    server.stop()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, server: FakeServer) -> Iterator[Page]:
    """An open editor. At the end there must have been no errors and no requests to foreign hosts."""
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
    page.on("request", lambda request: server.foreign.append(request.url) if _foreign(request.url, server) else None)
    page.goto(server.url)
    page.locator("[data-node='3'] .widget").first.wait_for()
    yield page
    assert errors == []
    assert server.foreign == []


@pytest.fixture
def editor(page: Page) -> Editor:
    return Editor(page)


def _foreign(url: str, server: FakeServer) -> bool:
    return not url.startswith((server.url, server.url.replace("http", "ws"), "blob:", "data:"))

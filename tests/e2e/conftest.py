"""A real browser on the real program: one server for all tests, a fresh browser profile for each."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.e2e.editor import Editor
from tests.e2e.fake_server import FakeServer
from tests.system.conftest import ROOT, Program

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 30_000


class Studio(Program):
    """`main.py serve` with the checkpoint that ships, and the way back to an empty desk."""

    def tidy(self) -> None:
        """Nothing runs, nothing waits, nothing is remembered: not even results, so that every run draws."""
        self.post("/queue", {"clear": True})
        self.post("/queue/resume", {})
        self.post("/interrupt", {})
        deadline = time.monotonic() + 60
        while self.get("/queue")["queue_running"]:
            assert time.monotonic() < deadline, "a job does not end"
            time.sleep(0.02)
        self.post("/history", {"clear": True})
        self.post("/free", {"free_memory": True})
        shutil.rmtree(self.workflows, ignore_errors=True)

    @property
    def workflows(self) -> Path:
        """Where saved workflows lie."""
        return self.base / "user" / "default" / "workflows"

    def launch(self) -> None:
        """Start again after an end, on the same directories."""
        self._launch()


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    running = Studio(tmp_path_factory.mktemp("base"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for one module: while it is open, an event loop runs, and other modules want their own."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, program: Studio) -> Iterator[Page]:
    """An open editor. At the end there must have been no errors and no requests to foreign hosts."""
    program.tidy()
    yield from opened(context, program.url)


@pytest.fixture
def editor(page: Page) -> Editor:
    return Editor(page)


@pytest.fixture
def graph() -> dict[str, Any]:
    """The default graph as an API prompt."""
    return json.loads((ROOT / "web" / "templates" / "default.api.json").read_text())


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A scripted server, for what the real one cannot be made to do on demand."""
    server = FakeServer().start()
    yield server
    server.stop()


@pytest.fixture
def scripted_page(context: BrowserContext, server: FakeServer) -> Iterator[Page]:
    """An open editor on the scripted server."""
    yield from opened(context, server.url)


def opened(context: BrowserContext, url: str) -> Iterator[Page]:
    """A page that is watched while it is used."""
    page = context.new_page()
    errors: list[str] = []
    own = (url, url.replace("http", "ws"), "blob:", "data:")
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
    page.on("request", lambda request: None if request.url.startswith(own) else errors.append(request.url))
    page.goto(url)
    page.locator("[data-node='3'] .widget").first.wait_for()
    yield page
    assert errors == []

"""The main job as a person does it: the real server, a real worker, the checkpoint that ships, a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.system.conftest import Program


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    running = Program(tmp_path_factory.mktemp("base"))
    yield running
    running.stop()


@pytest.fixture
def real_page(browser: Browser, program: Program) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(program.url)
    page.locator("[data-node='3'] .widget").first.wait_for(timeout=60_000)
    yield page
    assert errors == []
    context.close()


def test_a_typed_prompt_becomes_a_picture(real_page: Page, program: Program) -> None:
    field = real_page.locator("[data-node='6'] textarea")
    field.fill("a large green square on a black background")
    real_page.keyboard.press("Control+Enter")
    picture = real_page.locator("[data-node='9'] .media img")
    expect(picture).to_be_visible(timeout=60_000)
    expect(real_page.locator(".strip .thumb img")).to_have_count(1)
    (entry,) = program.get("/history").values()
    assert entry["prompt"][2]["6"]["inputs"]["text"] == "a large green square on a black background"
    assert entry["prompt"][3]["extra_pnginfo"]["workflow"]["nodes"]

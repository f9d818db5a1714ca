"""The axe rules for accessible pages, in every main state and both themes: nothing serious, nothing critical."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from tests.e2e.conftest import Studio, opened
from tests.e2e.editor import Editor

STATES = (
    "graph",
    "inside",
    "empty",
    "menu",
    "palette",
    "commands",
    "keys",
    "settings",
    "panels",
    "queue",
    "viewer",
    "error",
)


@pytest.fixture(params=["dark", "light"])
def themed(request: pytest.FixtureRequest, context: BrowserContext, program: Studio) -> Iterator[Page]:
    """An open editor in one of the themes, with one picture made."""
    program.tidy()
    for page in opened(context, program.url):
        page.evaluate("theme => loom.settings.set('theme', theme)", request.param)
        page.keyboard.press("Control+Enter")
        expect(page.locator(".strip .thumb img")).to_have_count(1)
        yield page


def offences(page: Page, state: str) -> list[str]:
    """What axe finds grave, in words."""
    found = Axe().run(page).response["violations"]
    return [
        f"{state}: {rule['id']} {rule['help']}: {node['target']} {node['failureSummary']}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"][:4]
    ]


def test_axe_finds_nothing_grave_in_any_state(themed: Page) -> None:
    found: list[str] = []
    for state in STATES:
        leave = STEPS[state](themed)
        themed.wait_for_timeout(350)  # until things have moved and faded in
        found += offences(themed, state)
        for key in leave:
            themed.keyboard.press(key)
        themed.wait_for_timeout(100)  # the frame in which the keyboard leaves what has closed
    assert not found, "\n".join(found)


def graph(page: Page) -> list[str]:
    return []


def inside(page: Page) -> list[str]:
    page.evaluate("loom.session.document.select(['3', '8'])")
    page.keyboard.press("Control+Shift+G")
    expect(page.get_by_role("group", name="Subgraph, node")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("group", name="Inputs, node -10")).to_be_visible()
    return ["Control+ArrowUp", "Control+z"]


def empty(page: Page) -> list[str]:
    page.keyboard.press("Alt+n")
    expect(page.get_by_text("An empty graph")).to_be_visible()
    return ["Alt+w"]


def menu(page: Page) -> list[str]:
    Editor(page).head(3).click(button="right")
    page.get_by_role("menu").wait_for()
    return ["Escape", "Escape"]


def palette(page: Page) -> list[str]:
    page.evaluate("loom.editor.services.search({ at: [400, 650], screen: [600, 500] })")
    page.get_by_role("option").first.wait_for()
    return ["Escape"]


def commands(page: Page) -> list[str]:
    page.keyboard.press("Control+k")
    page.get_by_role("option").first.wait_for()
    return ["Escape"]


def keys(page: Page) -> list[str]:
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys and gestures").wait_for()
    return ["Escape"]


def settings(page: Page) -> list[str]:
    page.keyboard.press("Control+,")
    page.get_by_role("dialog", name="Settings").wait_for()
    return ["Escape"]


def panels(page: Page) -> list[str]:
    for key in "nwoi":
        page.locator("main").focus()
        page.keyboard.press(key)
        page.locator(".panel-body").wait_for()
        found = offences(page, f"panel {key}")
        assert not found, "\n".join(found)
    return []


def queue(page: Page) -> list[str]:
    page.locator("main").focus()
    page.keyboard.press("q")
    expect(page.get_by_role("list", name="History").get_by_role("listitem")).to_have_count(1)
    return []


def viewer(page: Page) -> list[str]:
    page.locator(".strip .thumb").first.click()
    page.get_by_role("dialog", name="Picture").wait_for()
    return ["Escape"]


def error(page: Page) -> list[str]:
    page.evaluate("loom.session.document.transact('x', tx => tx.set('node', '3', ['widgets_values', 2], 0))")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-node='3'] .callout")).to_be_visible()
    return []


STEPS = {
    step.__name__: step
    for step in (graph, inside, empty, menu, palette, commands, keys, settings, panels, queue, viewer, error)
}

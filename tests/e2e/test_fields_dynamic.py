"""Inputs that depend on the node: growing ones, and choices with fields of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.e2e.conftest import opened
from tests.e2e.editor import Editor
from tests.e2e.fake_server import FakeServer

IMAGES = {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 2, "max": 4}
MODES = [
    {"key": "plain", "inputs": {"required": {}}},
    {
        "key": "mixed",
        "inputs": {
            "required": {"strength": ["FLOAT", {"default": 0.5, "min": 0, "max": 1}], "mask": ["MASK", {}]},
            "optional": {"steps": ["INT", {"default": 3}]},
        },
    },
]
CLASS: dict[str, Any] = {
    "input": {
        "required": {
            "images": ["COMFY_AUTOGROW_V3", {"template": IMAGES}],
            "mode": ["COMFY_DYNAMICCOMBO_V3", {"options": MODES}],
            "amount": ["INT", {"default": 7}],
        }
    },
    "output": ["IMAGE"],
    "output_name": ["IMAGE"],
    "display_name": "Stack pictures",
    "category": "test",
}


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    server = FakeServer().start()
    server.catalogue["Stack"] = CLASS
    for page in opened(context, server.url):
        page.evaluate("loom.tabs.openBlank()")
        for words, at in (("stack pictures", [420, 60]), ("load image", [20, 60]), ("grow mask", [20, 420])):
            page.evaluate("at => loom.editor.services.search({ at, screen: [600, 500] })", at)
            Editor(page).choose(words)
        page.evaluate("loom.editor.fit()")
        page.locator("[data-node='1'] .widget").first.wait_for()
        yield page
    server.stop()


def _inputs(editor: Editor) -> list[str]:
    node = editor.node(1)
    assert node
    return [slot["name"] for slot in node["inputs"]]


def _prompt(page: Page) -> dict[str, Any]:
    return page.evaluate(
        """async () => { const { compilePrompt } = await import("/core/graph/prompt.js");
          return compilePrompt(loom.session.document.graph, loom.session.definitions)["1"].inputs; }"""
    )


def test_sockets_come_and_go_with_their_links(page: Page, editor: Editor) -> None:
    assert _inputs(editor) == ["images.image0", "images.image1"]
    for slot in (0, 1, 2):
        editor.drag(editor.dot(2, "out:0"), editor.dot(1, f"in:{slot}"))
    assert _inputs(editor) == [f"images.image{number}" for number in range(4)]
    assert {name: value for name, value in _prompt(page).items() if "." in name} == {
        f"images.image{number}": ["2", 0] for number in range(3)
    }
    page.keyboard.press("Control+z")
    assert _inputs(editor) == [f"images.image{number}" for number in range(3)]
    editor.drag(editor.dot(1, "in:1"), editor.middle(page.locator(".stage")))
    assert _inputs(editor) == ["images.image0", "images.image1"]
    assert {link[3] for link in editor.links()} == {0}


def test_a_choice_brings_its_fields_and_keeps_the_others_values(page: Page, editor: Editor) -> None:
    editor.widget(1, "amount").click()
    page.keyboard.type("9")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="mode: plain").click()
    page.get_by_role("option", name="mixed").click()
    node = editor.node(1)
    assert node and node["widgets_values"] == ["mixed", 0.5, 3, 9]
    assert _inputs(editor) == ["images.image0", "images.image1", "mode.mask"]
    expect(page.get_by_role("spinbutton", name="strength")).to_be_visible()
    editor.drag(editor.dot(3, "out:0"), editor.dot(1, "in:2"))
    assert _prompt(page) == {
        "mode": "mixed",
        "mode.strength": 0.5,
        "mode.steps": 3,
        "mode.mask": ["3", 0],
        "amount": 9,
    }
    page.get_by_role("button", name="mode: mixed").press("ArrowUp")
    node = editor.node(1)
    assert node and node["widgets_values"] == ["plain", 9]
    assert (_inputs(editor), editor.links()) == (["images.image0", "images.image1"], set())
    page.keyboard.press("Control+z")
    assert (3, 0, 1, 2) in editor.links()

"""Fields of every kind, on a class that has them all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.e2e.conftest import opened
from tests.e2e.editor import Editor
from tests.e2e.fake_server import FakeServer

WIDGETS: dict[str, Any] = {
    "width": ["INT", {"default": 512, "min": 16, "max": 16384, "step": 8}],
    "strength": ["FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.05, "display": "slider"}],
    "seed": ["INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}],
    "tint": ["COLOR", {"default": "#ff8800"}],
    "fill": ["INT", {"default": 0x336699, "min": 0, "max": 0xFFFFFF, "display": "color"}],
    "parts": [
        "COMBO",
        {"options": ["head", "hand", "foot"], "multi_select": {"placeholder": "all parts"}, "default": []},
    ],
    "tiled": ["BOOLEAN", {"default": False, "label_on": "in tiles", "label_off": "whole"}],
    "overlap": ["INT", {"default": 3, "advanced": True}],
    "secret": ["INT", {"default": 4, "hidden": True}],
}
NODE = {
    "id": 1,
    "type": "Everything",
    "pos": [300, 120],
    "size": [320, 280],
    "flags": {},
    "mode": 0,
    "inputs": [],
    "outputs": [],
    "properties": {},
    "widgets_values": [512, 0.5, 0, "fixed", "#ff8800", 0x336699, [], False, 3, 4],
}
SEED, TINT, FILL, PARTS, TILED = 2, 4, 5, 6, 7


@pytest.fixture
def server() -> Iterator[FakeServer]:
    server = FakeServer().start()
    server.catalogue["Everything"] = {
        "input": {"required": WIDGETS},
        "input_order": {"required": list(WIDGETS)},
        "output": [],
        "output_name": [],
        "name": "Everything",
        "display_name": "Everything",
        "category": "test",
    }
    yield server
    server.stop()


@pytest.fixture
def page(context: BrowserContext, server: FakeServer) -> Iterator[Page]:
    for page in opened(context, server.url):
        record = {"last_node_id": 1, "nodes": [NODE], "links": [], "groups": [], "version": 0.4}
        page.evaluate("record => void loom.tabs.open(record, { name: 'Fields' })", record)
        page.locator("[data-node='1'] .widget").first.wait_for()
        yield page


def _value(editor: Editor, index: int) -> object:
    node = editor.node(1)
    assert node
    return node["widgets_values"][index]


def test_a_sum_is_reckoned_and_kept_within_the_limits(page: Page, editor: Editor) -> None:
    sums = {"512*2": 1024, "(64+8)/2": 36, "2^10": 1024, "99999": 16384, "1": 16, "x": 16}
    for typed, value in sums.items():
        editor.widget(1, "width").click()
        page.keyboard.type(typed)
        page.keyboard.press("Enter")
        assert _value(editor, 0) == value, typed
        expect(page.locator("[data-node='1']")).to_be_focused()


def test_arrows_step_with_shift_far_and_with_ctrl_finely(page: Page, editor: Editor) -> None:
    editor.widget(1, "width").click()
    steps = {"ArrowUp": 520, "Shift+ArrowUp": 600, "Control+ArrowUp": 601, "Control+ArrowDown": 600, "ArrowDown": 592}
    for keys, value in steps.items():
        page.keyboard.press(keys)
        assert _value(editor, 0) == value, keys


def test_the_ends_of_a_number_are_arrows(page: Page, editor: Editor) -> None:
    box = editor.widget(1, "width").bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] - 5, box["y"] + 10)
    assert _value(editor, 0) == 520
    page.mouse.click(box["x"] + 15, box["y"] + 10)
    page.mouse.click(box["x"] + 15, box["y"] + 10)
    assert _value(editor, 0) == 504


def test_a_slider_follows_the_pointer(page: Page, editor: Editor) -> None:
    box = editor.widget(1, "strength").bounding_box()
    assert box
    y = box["y"] + 10
    editor.drag((box["x"] + box["width"] * 0.5, y), (box["x"] + box["width"] * 0.8, y))
    assert _value(editor, 1) == pytest.approx(0.8)
    page.keyboard.press("Control+z")
    assert _value(editor, 1) == 0.5


def test_a_seed_of_64_bits_keeps_every_digit(page: Page, editor: Editor) -> None:
    largest = 2**64 - 2
    editor.widget(1, "seed").click()
    page.keyboard.type(str(largest))
    page.keyboard.press("Enter")
    stored = "String(loom.session.document.graph.node(1).widgets_values[2])"
    assert page.evaluate(stored) == str(largest)
    expect(editor.widget(1, "seed").locator("input")).to_have_value(str(largest))
    editor.widget(1, "seed").click()
    page.keyboard.press("ArrowDown")
    assert page.evaluate(stored) == str(largest - 1)
    page.keyboard.press("Control+a")
    page.keyboard.type(str(2**64 + 5))
    page.keyboard.press("Enter")
    assert page.evaluate(stored) == str(2**64 - 1)


def test_a_long_seed_is_stepped_exactly(page: Page, editor: Editor) -> None:
    editor.widget(1, "seed").click()
    page.keyboard.type("123456789012345")
    page.keyboard.press("ArrowUp")
    assert _value(editor, SEED) == 123456789012346


def test_a_colour_is_picked_or_typed(page: Page, editor: Editor) -> None:
    picker = page.get_by_label("tint, picker")
    assert picker.input_value() == "#ff8800"
    picker.fill("#00ff40")
    assert _value(editor, TINT) == "#00ff40"
    digits = page.get_by_role("textbox", name="fill", exact=True)
    expect(digits).to_have_value("#336699")
    digits.fill("#abc")
    digits.press("Enter")
    assert _value(editor, FILL) == 0xAABBCC
    digits.fill("no colour")
    digits.press("Enter")
    assert _value(editor, FILL) == 0xAABBCC


def test_several_choices_stay_in_the_order_of_choosing(page: Page, editor: Editor) -> None:
    button = editor.widget(1, "parts").get_by_role("button")
    expect(button).to_have_text("all parts")
    button.click()
    page.get_by_role("option", name="foot").click()
    page.get_by_role("option", name="head").click()
    expect(page.get_by_role("option", name="foot")).to_have_attribute("aria-selected", "true")
    assert _value(editor, PARTS) == ["foot", "head"]
    page.get_by_role("option", name="foot").click()
    page.keyboard.press("Escape")
    assert _value(editor, PARTS) == ["head"]
    expect(button).to_have_accessible_name("parts: head")


def test_a_toggle_says_its_own_words(page: Page, editor: Editor) -> None:
    switch = page.get_by_role("switch", name="tiled")
    expect(switch).to_have_text("whole")
    switch.click()
    expect(switch).to_have_text("in tiles")
    assert _value(editor, TILED) is True


def test_advanced_fields_come_when_asked_for_and_hidden_ones_never(page: Page, editor: Editor) -> None:
    expect(editor.widget(1, "overlap")).to_have_count(0)
    page.get_by_role("button", name="Advanced inputs").click()
    expect(editor.widget(1, "overlap").locator("input")).to_have_value("3")
    expect(editor.widget(1, "secret")).to_have_count(0)
    node = editor.node(1)
    assert node and node["showAdvanced"] is True
    page.keyboard.press("Control+z")
    expect(editor.widget(1, "overlap")).to_have_count(0)
    assert editor.node(1) == NODE

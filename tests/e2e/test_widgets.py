"""Values, by mouse and keyboard."""

from __future__ import annotations

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.e2e.conftest import Studio
from tests.e2e.editor import Editor
from tests.e2e.fake_server import picture


def _value(editor: Editor, node_id: int, index: int) -> object:
    node = editor.node(node_id)
    assert node
    return node["widgets_values"][index]


@pytest.mark.parametrize(("typed", "value"), [("30", 30), ("10*3+2", 32), ("-5", 1), ("nonsense", 20)])
def test_a_number_is_typed_or_reckoned(page: Page, editor: Editor, typed: str, value: int) -> None:
    editor.widget(3, "steps").click()
    page.keyboard.type(typed)
    page.keyboard.press("Enter")
    assert _value(editor, 3, 2) == value


def test_a_number_is_dragged_as_one_step_of_undo(page: Page, editor: Editor) -> None:
    x, y = editor.middle(editor.widget(3, "steps"))
    editor.drag((x, y), (x + 60, y))
    assert int(str(_value(editor, 3, 2))) > 25
    page.keyboard.press("Control+z")
    assert _value(editor, 3, 2) == 20


def test_arrows_and_wheel_change_a_focused_number(page: Page, editor: Editor) -> None:
    editor.widget(3, "cfg").click()
    page.keyboard.press("ArrowUp")
    assert _value(editor, 3, 3) == 3.1
    page.mouse.wheel(0, 100)
    editor.settled("loom.session.document.graph.node(3).widgets_values[3] === 3")


def test_a_choice_is_found_by_typing(page: Page, editor: Editor) -> None:
    editor.widget(3, "scheduler").get_by_role("button").click()
    page.get_by_role("listbox").wait_for()
    page.get_by_role("option", name="karras").click()
    assert _value(editor, 3, 5) == "karras"
    editor.widget(3, "scheduler").get_by_role("button").press("ArrowDown")
    assert _value(editor, 3, 5) == "exponential"


def test_text_keeps_words_and_weights_them(page: Page, editor: Editor) -> None:
    area = page.get_by_role("textbox", name="text").first
    area.fill("a blue square")
    assert _value(editor, 6, 0) == "a blue square"
    area.press("Control+ArrowUp")
    assert _value(editor, 6, 0) == "a blue (square:1.05)"
    area.press("Control+ArrowDown")
    assert _value(editor, 6, 0) == "a blue square"


def test_dice_and_control_of_a_seed(page: Page, editor: Editor) -> None:
    page.get_by_role("button", name="Draw a new number").click()
    editor.settled("loom.session.document.graph.node(3).widgets_values[0] !== 7")
    page.get_by_role("radio", name="keep").click()
    assert _value(editor, 3, 1) == "fixed"


def test_a_switch(page: Page, editor: Editor) -> None:
    page.evaluate("loom.editor.services.search({ at: [400, 650], screen: [600, 500] })")
    editor.choose("grow mask")
    switch = page.get_by_role("switch", name="tapered_corners")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "false")
    assert _value(editor, 10, 1) is False


def test_a_picture_is_sent_and_shown(page: Page, editor: Editor, program: Studio) -> None:
    page.evaluate("loom.editor.services.search({ at: [400, 620], screen: [600, 500] })")
    editor.choose("load image")
    content = picture(120)
    chosen: FilePayload = {"name": "chosen.png", "mimeType": "image/png", "buffer": content}
    page.locator("[data-node='10'] input[type=file]").set_input_files(chosen)
    editor.settled("loom.session.document.graph.node(10).widgets_values[0] === 'chosen.png'")
    assert (program.base / "input" / "chosen.png").read_bytes() == content
    source = "/api/view?filename=chosen.png&subfolder=&type=input"
    expect(page.locator("[data-node='10'] .media img")).to_have_attribute("src", source)

"""Pictures that were made are chosen and sent on as inputs, with the real server."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.e2e.conftest import Studio
from tests.e2e.editor import Editor
from tests.e2e.fake_server import picture


def test_a_result_is_chosen_from_the_output_folder(page: Page, editor: Editor, program: Studio) -> None:
    (program.base / "output").mkdir(exist_ok=True)
    (program.base / "output" / "made.png").write_bytes(picture(2))
    page.reload()
    editor.settled("loom.ready")
    page.keyboard.press("Alt+n")
    page.keyboard.press("Tab")
    editor.choose("load image from outputs")
    editor.settled("loom.session.document.graph.nodes.size === 1")
    field = page.locator("[data-node='1'] .combo").first
    field.click()
    page.get_by_role("option", name=re.compile(r"made\.png")).click()
    expect(field).to_have_attribute("aria-label", re.compile(r"made\.png \[output\]"))
    assert editor.record()["nodes"][0]["widgets_values"][0] == "made.png [output]"

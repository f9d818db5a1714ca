"""Documents on their way: between windows, from another editor, and past somebody else's saving."""

from __future__ import annotations

import json
import os
from typing import Any

from playwright.sync_api import BrowserContext, Page, expect

from tests.e2e.conftest import Studio
from tests.e2e.editor import Editor, until
from tests.graph.classes import FOLDER

PASTE = """(flavours) => {
  const data = new DataTransfer();
  for (const [kind, text] of Object.entries(flavours)) data.setData(kind, text);
  document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}"""
COPY = """() => {
  const data = new DataTransfer();
  document.body.dispatchEvent(new ClipboardEvent("copy", { clipboardData: data, bubbles: true, cancelable: true }));
  return Object.fromEntries([...data.types].map((kind) => [kind, data.getData(kind)]));
}"""


def _example() -> Any:
    return json.loads((FOLDER / "subgraphs.workflow.json").read_text())


def test_a_subgraph_travels_to_a_new_document(page: Page, editor: Editor) -> None:
    page.evaluate("(record) => { loom.tabs.open(record, { name: 'With subgraphs' }); }", _example())
    page.evaluate("loom.session.document.select(['2'])")
    flavours = page.evaluate(COPY)
    assert set(flavours) == {"text/plain", "text/html"}
    page.get_by_role("button", name="New workflow").click()
    page.evaluate(PASTE, {"text/html": flavours["text/html"]})
    editor.settled("loom.session.document.graph.nodes.size === 1")
    record = editor.record()
    assert [each["name"] for each in record["definitions"]["subgraphs"]] == ["Soften twice", "Soften"]
    assert not page.evaluate("loom.session.missing(loom.session.document.graph.record.definitions.subgraphs[0].id)")
    expect(page.get_by_role("group", name="Soften twice")).to_be_visible()
    page.keyboard.press("Control+z")
    assert editor.record()["nodes"] == []


def test_a_file_that_was_saved_elsewhere_is_not_overwritten(page: Page, editor: Editor, program: Studio) -> None:
    page.keyboard.press("Control+s")
    page.get_by_role("dialog", name="Save workflow as").wait_for()
    page.keyboard.type("shared")
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab")).to_contain_text("shared")
    file = program.workflows / "shared.json"
    file.write_text('{"nodes": [], "links": [], "version": 0.4, "extra": {"by": "somebody else"}}')
    os.utime(file, (2_000_000_000, 2_000_000_000))
    page.keyboard.press("Control+s")
    page.get_by_role("dialog", name="Replace the newer file?").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert json.loads(file.read_text())["extra"] == {"by": "somebody else"}
    page.keyboard.press("Control+s")
    page.get_by_role("dialog", name="Replace the newer file?").get_by_role("button", name="Replace").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    for _ in range(100):
        if b"somebody else" not in file.read_bytes():
            break
        page.wait_for_timeout(50)
    assert len(json.loads(file.read_text())["nodes"]) == 7


def test_windows_without_locks_do_not_share_a_document(page: Page, context: BrowserContext, program: Studio) -> None:
    context.add_init_script("Object.defineProperty(navigator, 'locks', { value: undefined })")
    page.reload()
    until(page, "window.loom?.session && loom.ready")
    second = context.new_page()
    second.goto(program.url)
    until(second, "window.loom?.session && loom.ready")
    first = page.evaluate("loom.tabs.sessions.map((session) => session.document.uid)")
    assert not set(first) & set(second.evaluate("loom.tabs.sessions.map((session) => session.document.uid)"))

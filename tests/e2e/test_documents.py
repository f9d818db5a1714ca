"""Nothing is lost: tabs, files, reload, nodes that nobody knows."""

from __future__ import annotations

import json

from playwright.sync_api import BrowserContext, Page, expect

from tests.e2e.conftest import Studio
from tests.e2e.editor import Editor, until


def test_a_reload_brings_everything_back(page: Page, editor: Editor) -> None:
    editor.head(7).click()
    page.keyboard.press("Delete")
    page.keyboard.press("q")
    page.locator(".panel").wait_for()
    page.mouse.move(900, 300)
    page.mouse.wheel(0, -120)
    page.wait_for_timeout(600)
    record, view = editor.record(), page.evaluate("[loom.session.viewport.scale, ...loom.session.viewport.offset]")
    page.reload()
    editor.settled("window.loom?.session && loom.ready")
    assert editor.record() == record
    assert page.evaluate("[loom.session.viewport.scale, ...loom.session.viewport.offset]") == view


def test_a_crash_loses_no_change(page: Page, editor: Editor, context: BrowserContext, program: Studio) -> None:
    page.evaluate("window.addEventListener('pagehide', (event) => event.stopImmediatePropagation(), true)")
    page.evaluate("loom.journal.snapshotAll = () => {}")
    editor.head(8).click()
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_timeout(100)
    record = editor.record()
    page.close()
    second = context.new_page()
    second.goto(program.url)
    until(second, "window.loom?.session && loom.ready")
    assert Editor(second).record() == record


def test_two_windows_do_not_share_a_document(page: Page, context: BrowserContext, program: Studio) -> None:
    second = context.new_page()
    second.goto(program.url)
    until(second, "window.loom?.session && loom.ready")
    assert second.evaluate("loom.session.document.uid") != page.evaluate("loom.session.document.uid")


def test_tabs_are_separate_and_runs_stay_with_theirs(page: Page, editor: Editor, program: Studio) -> None:
    editor.type_number(3, "steps", 200)
    page.keyboard.press("Control+Enter")
    page.get_by_role("button", name="New workflow").click()
    expect(page.get_by_text("An empty graph")).to_be_visible()
    page.keyboard.press("Control+z")
    assert editor.record()["nodes"] == []
    expect(page.locator(".strip .thumb")).to_have_count(1)
    page.get_by_role("tab").first.click()
    expect(page.locator("[data-node='9'] .media img")).to_be_visible()


def test_the_tab_in_front_stays_in_front(page: Page, editor: Editor) -> None:
    page.get_by_role("button", name="New workflow").click()
    page.get_by_role("button", name="New workflow").click()
    page.get_by_role("tab").nth(1).click()
    name = page.evaluate("loom.session.document.name")
    page.reload()
    editor.settled("window.loom?.session && loom.ready")
    assert page.evaluate("loom.session.document.name") == name
    expect(page.get_by_role("tab")).to_have_count(3)


def test_undo_is_named(page: Page, editor: Editor) -> None:
    editor.head(7).click()
    page.keyboard.press("Delete")
    expect(page.get_by_role("button", name="Undo", exact=True)).to_have_attribute("title", "Undo: Delete (Ctrl+Z)")


def test_save_and_open(page: Page, editor: Editor, program: Studio) -> None:
    page.keyboard.press("Control+s")
    page.get_by_role("dialog", name="Save workflow as").wait_for()
    page.keyboard.type("mine")
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab")).to_contain_text("mine")
    saved = json.loads((program.workflows / "mine.json").read_text())
    assert saved["nodes"] == editor.record()["nodes"]
    page.get_by_role("button", name="Close mine").click()
    page.keyboard.press("w")
    page.locator(".panel").get_by_role("button", name="mine").first.click()
    editor.settled("loom.session.document.graph.nodes.size === 7")


def test_a_closed_document_comes_back(page: Page, editor: Editor) -> None:
    editor.head(7).click()
    page.keyboard.press("Delete")
    page.keyboard.press("Alt+w")
    page.get_by_role("button", name="Reopen").click()
    editor.settled("loom.session.document.graph.nodes.size === 6")


def test_unknown_nodes_are_kept_whole(page: Page, editor: Editor) -> None:
    record = editor.record()
    record["nodes"][0].update(type="FromAPackThatIsGone", widgets_values={"deep": [1, {"a": None}]}, secret="kept")
    page.evaluate("record => loom.tabs.open(record, { name: 'Old' })", record)
    expect(page.get_by_text("“FromAPackThatIsGone” is not installed.")).to_be_visible()
    editor.head(7).click()
    page.keyboard.press("Delete")
    page.keyboard.press("Control+z")
    assert editor.record() == record

"""Subgraphs that show fields of nodes inside, and a reload that comes back inside."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.e2e.editor import Editor, until


def test_a_shown_field_is_one_value_and_a_reload_comes_back_inside(page: Page, editor: Editor) -> None:
    page.evaluate("loom.session.document.select(['3', '5'])")
    page.keyboard.press("Control+Shift+G")
    until(page, "loom.session.document.graph.node(10)")
    page.keyboard.press("Shift+F")
    search = page.get_by_role("combobox", name="Search fields on the subgraph")
    search.fill("steps")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(editor.widget(10, "3:steps")).to_be_visible()
    editor.type_number(10, "3:steps", 33)
    page.keyboard.press("Escape")
    page.evaluate("loom.levels.open('10')")
    expect(editor.widget(3, "steps")).to_contain_text("steps")
    until(page, "loom.session.document.graph.node(3).widgets_values.includes(33)")
    view = page.evaluate("[loom.session.viewport.scale, ...loom.session.viewport.offset]")
    page.wait_for_timeout(600)
    page.reload()
    editor.settled("window.loom?.session && loom.ready")
    assert page.evaluate("loom.session.document.place") == "10"
    assert page.evaluate("[loom.session.viewport.scale, ...loom.session.viewport.offset]") == view
    expect(page.get_by_role("navigation", name="Where you are")).to_be_visible()
    page.evaluate("loom.session.document.transact('Set', (tx) => tx.set('node', 3, ['widgets_values', 2], 44))")
    page.evaluate("loom.levels.go([])")
    expect(editor.widget(10, "3:steps").locator("input")).to_have_value("44")
    assert editor.record()["nodes"][-1]["properties"]["proxyWidgets"] == [["3", "steps"]]

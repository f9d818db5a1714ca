"""Without a mouse, with a screen reader, on a phone, in both themes."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import Studio
from tests.e2e.editor import Editor, script, until


def test_nodes_and_sockets_have_names(page: Page) -> None:
    sampler = page.get_by_role("group", name="KSampler, node 3")
    expect(sampler).to_be_visible()
    expect(sampler.get_by_role("button", name="Input model, MODEL, from Load Checkpoint 4")).to_have_count(1)
    expect(sampler.get_by_role("spinbutton", name="steps")).to_have_attribute("aria-valuenow", "20")
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, textarea')].filter(e => e.offsetParent !== null &&"
        " !(e.getAttribute('aria-label') || e.title || e.textContent.trim() || e.labels?.length)).map(e => e.className)"
    )
    assert unnamed == []


def test_a_graph_is_built_with_the_keyboard(page: Page, editor: Editor) -> None:
    page.keyboard.press("Alt+n")
    page.keyboard.press("Tab")
    editor.choose("load checkpoint")
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    editor.choose("vae decode")
    page.keyboard.press("Shift+ArrowDown")
    page.locator("[data-node='2']").focus()
    page.keyboard.press("Enter")
    editor.choose("input vae")
    assert (1, 2, 2, 1) in editor.links()


def test_arrows_go_from_node_to_node(page: Page, editor: Editor) -> None:
    editor.head(4).click()
    page.keyboard.press("ArrowRight")
    # The view may move first, so the focus follows in a later frame.
    expect(page.locator(":is([data-node='5'], [data-node='6'], [data-node='7']):focus")).to_have_count(1)


def test_the_outline_is_a_tree(page: Page) -> None:
    page.keyboard.press("o")
    tree = page.get_by_role("tree")
    expect(tree.get_by_role("treeitem")).to_have_count(7)
    tree.get_by_role("treeitem", name="Save Image").click()
    expect(page.locator("[data-node='9']")).to_be_focused()


def test_every_command_is_found_by_name(page: Page, editor: Editor) -> None:
    page.keyboard.press("Control+k")
    editor.choose("select all")
    assert page.evaluate("loom.session.document.selection.size") == 7


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_can_be_read_in_both_themes(page: Page, theme: str) -> None:
    page.evaluate("theme => loom.settings.set('theme', theme)", theme)
    ratios = page.evaluate(script("contrast.js"))
    assert min(ratios) >= 4.5, ratios


def test_two_fingers_zoom_on_a_phone(browser: Browser, program: Studio) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(program.url)
    until(page, "window.loom?.session && loom.ready")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_visible()
    before = page.evaluate("loom.session.viewport.scale")
    touch = context.new_cdp_session(page)
    for kind, spread in [("touchStart", 40), ("touchMove", 60), ("touchMove", 100), ("touchEnd", None)]:
        points = (
            [] if spread is None else [{"x": 195 - spread, "y": 400, "id": 0}, {"x": 195 + spread, "y": 400, "id": 1}]
        )
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert page.evaluate("loom.session.viewport.scale") > before * 1.5
    context.close()

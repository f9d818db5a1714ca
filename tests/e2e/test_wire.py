"""Building a graph with the mouse."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.editor import Editor


def test_a_node_is_dragged_and_put_back(page: Page, editor: Editor) -> None:
    before = editor.record()
    editor.drag(editor.middle(editor.head(8)), (1000, 600))
    assert editor.record() != before
    page.keyboard.press("Control+z")
    assert editor.record() == before


def test_links_are_drawn_moved_and_pulled_off(page: Page, editor: Editor) -> None:
    editor.drag(editor.dot(6, "out:0"), editor.dot(3, "in:2"))
    assert (6, 0, 3, 2) in editor.links()
    assert (7, 0, 3, 2) not in editor.links()
    editor.drag(editor.dot(3, "in:2"), (700, 760))
    assert (6, 0, 3, 2) not in editor.links()


def test_only_fitting_sockets_light_up(page: Page, editor: Editor) -> None:
    page.mouse.move(*editor.dot(6, "out:0"))
    page.mouse.down()
    page.mouse.move(660, 700, steps=4)
    fits = page.locator(".socket.fits")
    expect(fits).to_have_count(2)
    assert set(fits.evaluate_all("all => all.map(e => e.dataset.type)")) == {"CONDITIONING"}
    page.keyboard.press("Escape")
    expect(fits).to_have_count(0)
    page.mouse.up()


def test_a_link_let_go_on_nothing_asks_for_a_node(page: Page, editor: Editor) -> None:
    editor.drag(editor.dot(5, "out:0"), (700, 720))
    editor.choose("vae dec")
    assert (5, 0, 10, 0) in editor.links()
    page.keyboard.press("Control+z")
    assert editor.node(10) is None


def test_a_widget_takes_a_link(page: Page, editor: Editor) -> None:
    editor.widget(3, "steps").hover()
    editor.drag(editor.dot(3, "in:-1:steps"), (560, 720))
    editor.choose("primitive")
    node = editor.node(3)
    assert node and node["inputs"][4]["widget"] == {"name": "steps"}
    expect(editor.widget(3, "steps").locator("input")).to_be_disabled()
    expect(editor.widget(10, "value").locator("input")).to_have_value("20")


def test_a_free_node_dropped_on_a_link_goes_into_it(page: Page, editor: Editor) -> None:
    page.evaluate("loom.editor.services.search({ at: [1150, 300], screen: [900, 500] })")
    editor.choose("image blur")
    editor.settled("loom.editor.nodes.mounted.has('10')")
    start = editor.middle(editor.head(10))
    editor.drag(start, tuple((a + b) / 2 for a, b in zip(editor.dot(8, "out:0"), editor.dot(9, "in:0"), strict=True)))  # type: ignore[arg-type]
    assert {(8, 0, 10, 0), (10, 0, 9, 0)} <= editor.links()
    page.keyboard.press("Shift+Delete")
    assert (8, 0, 9, 0) in editor.links()


@pytest.mark.parametrize(("key", "mode"), [("m", 2), ("b", 4)])
def test_mute_and_bypass(page: Page, editor: Editor, key: str, mode: int) -> None:
    editor.head(7).click()
    page.keyboard.press(key)
    node = editor.node(7)
    assert node and node["mode"] == mode
    page.keyboard.press(key)
    node = editor.node(7)
    assert node and node["mode"] == 0


def test_box_select_group_and_move_it(page: Page, editor: Editor) -> None:
    editor.drag((375, 120), (640, 700), "Shift")
    page.keyboard.press("Control+g")
    assert len(editor.record()["groups"]) == 1
    before = editor.node(6)
    corner = page.evaluate(
        "(() => { const g = [...loom.session.document.graph.groups.values()][0].bounding;"
        "const [x, y] = loom.session.viewport.toScreen([g[0], g[1]]);"
        "const r = loom.editor.stage.getBoundingClientRect(); return [x + r.left + 60, y + r.top + 12]; })()"
    )
    editor.drag(tuple(corner), (corner[0] + 40, corner[1] + 30))
    after = editor.node(6)
    assert before and after and after["pos"] != before["pos"]


def test_copy_cut_paste_duplicate(page: Page, editor: Editor) -> None:
    editor.head(8).click()
    page.keyboard.press("Control+c")
    page.mouse.move(400, 760)
    page.keyboard.press("Control+v")
    assert len(editor.record()["nodes"]) == 8
    page.keyboard.press("Control+x")
    assert len(editor.record()["nodes"]) == 7
    editor.head(8).click()
    page.keyboard.press("Control+d")
    assert (3, 0, 10, 0) in editor.links() or (3, 0, 11, 0) in editor.links()


def test_wheel_zooms_at_the_cursor_and_drag_pans(page: Page, editor: Editor) -> None:
    page.mouse.move(700, 500)
    at = "loom.session.viewport.toGraph(loom.editor.pointer)"
    page.evaluate("loom.editor.pointer")
    before = page.evaluate(at)
    page.mouse.wheel(0, -240)
    editor.settled("loom.session.viewport.scale > 0.8")
    after = page.evaluate(at)
    assert abs(before[0] - after[0]) < 0.01
    assert abs(before[1] - after[1]) < 0.01
    offset = page.evaluate("loom.session.viewport.offset")
    editor.drag((1100, 700), (1000, 640))
    moved = page.evaluate("loom.session.viewport.offset")
    assert [round(a - b) for a, b in zip(moved, offset, strict=True)] == [-100, -60]


def test_reroute_points_on_a_link(page: Page, editor: Editor) -> None:
    middle = tuple((a + b) / 2 for a, b in zip(editor.dot(3, "out:0"), editor.dot(8, "in:0"), strict=True))
    page.keyboard.down("Alt")
    page.mouse.click(*middle)
    page.keyboard.up("Alt")
    assert len(editor.record()["extra"]["reroutes"]) == 1
    page.keyboard.press("Delete")
    assert editor.record()["extra"].get("reroutes", []) == []


def test_the_menu_under_the_right_button(page: Page, editor: Editor) -> None:
    editor.head(3).click(button="right")
    page.get_by_role("menuitem", name="Fold or open").click()
    node = editor.node(3)
    assert node and node["flags"]["collapsed"] is True


def test_double_click_renames(page: Page, editor: Editor) -> None:
    editor.head(3).dblclick()
    page.get_by_role("dialog", name="Rename").wait_for()
    page.keyboard.press("Control+a")
    page.keyboard.type("Draw")
    page.keyboard.press("Enter")
    expect(editor.head(3)).to_have_text("Draw")

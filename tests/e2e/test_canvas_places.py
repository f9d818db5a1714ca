"""Selecting in boxes, groups, places, sizes, pins."""

from __future__ import annotations

from itertools import pairwise

from playwright.sync_api import Page, expect

from tests.e2e.editor import Editor, Point


def _selected(page: Page) -> list[str]:
    return page.evaluate("[...loom.session.document.selection].sort()")


def _around(page: Page, *ids: int) -> tuple[Point, Point]:
    """Corners of a box on the screen around some nodes."""
    boxes = [box for node in ids if (box := page.locator(f"[data-node='{node}']").bounding_box())]
    left, top = min(box["x"] for box in boxes) - 8, min(box["y"] for box in boxes) - 8
    right, bottom = max(box["x"] + box["width"] for box in boxes), max(box["y"] + box["height"] for box in boxes)
    return (left, top), (right + 8, bottom + 8)


def _group(editor: Editor) -> list[float]:
    return editor.record()["groups"][0]["bounding"]


def _at(page: Page, x: float, y: float) -> Point:
    return tuple(
        page.evaluate(
            """at => { const [x, y] = loom.session.viewport.toScreen(at);
              const { left, top } = loom.editor.stage.getBoundingClientRect(); return [x + left, y + top]; }""",
            [x, y],
        )
    )


def test_a_box_selects_adds_and_takes_away(page: Page, editor: Editor) -> None:
    editor.drag(*_around(page, 8), "Control")
    assert _selected(page) == ["8"]
    editor.drag(*_around(page, 6, 7), "Shift")
    assert _selected(page) == ["6", "7", "8"]
    editor.drag(*_around(page, 6), "Shift", "Alt")
    assert _selected(page) == ["7", "8"]
    editor.head(7).click(modifiers=["Shift"])
    assert _selected(page) == ["8"]
    page.evaluate("loom.editor.zoom(0.4)")  # far: nodes are drawn, not elements
    corner = _at(page, -2000, -2000)
    editor.drag((max(corner[0], 80), max(corner[1], 80)), _at(page, 1500, 900), "Shift")
    assert len(_selected(page)) == 7


def test_a_group_is_made_moved_resized_renamed_and_coloured(page: Page, editor: Editor) -> None:
    editor.drag(*_around(page, 6, 7), "Shift")
    page.keyboard.press("Control+g")
    left, top, width, height = _group(editor)
    nodes = [editor.node(node) for node in (6, 7)]
    title = _at(page, left + 40, top + 16)
    editor.drag(title, (title[0] + 60, title[1] + 40))
    moved = _group(editor)
    shift = (moved[0] - left, moved[1] - top)
    assert shift[0] > 40
    for before in nodes:
        after = editor.node(before["id"]) if before else None
        assert before and after
        assert (after["pos"][0] - before["pos"][0], after["pos"][1] - before["pos"][1]) == shift
    corner = _at(page, moved[0] + width - 6, moved[1] + height - 6)
    editor.drag(corner, (corner[0] + 50, corner[1] + 50))
    assert _group(editor)[2] > width
    page.mouse.dblclick(*_at(page, moved[0] + 40, moved[1] + 16))
    page.get_by_role("dialog", name="Rename").wait_for()
    page.keyboard.press("Control+a")
    page.keyboard.type("Words")
    page.keyboard.press("Enter")
    page.mouse.click(*_at(page, moved[0] + 40, moved[1] + 16), button="right")
    page.get_by_role("menuitem", name="green").click()
    group = editor.record()["groups"][0]
    assert (group["title"], group["color"]) == ("Words", "#3b5d45")


def test_arranging_keeps_groups_around_their_nodes(page: Page, editor: Editor) -> None:
    editor.drag(*_around(page, 6, 7), "Shift")
    page.keyboard.press("Control+g")
    page.keyboard.press("Escape")
    page.keyboard.press("Shift+l")
    left, top, width, height = _group(editor)
    for node_id in ("6", "7"):
        x, y, w, h = page.evaluate("id => loom.session.scene.box(id)", node_id)
        assert left < x
        assert top < y
        assert x + w < left + width
        assert y + h < top + height


def test_a_pinned_node_stays(page: Page, editor: Editor) -> None:
    editor.head(8).click()
    page.keyboard.press("p")
    expect(page.get_by_role("group", name="VAE Decode, node 8, pinned")).to_be_visible()
    before = editor.node(8)
    start = editor.middle(editor.head(8))
    editor.drag(start, (start[0] + 80, start[1] + 60))
    assert editor.node(8) == before
    expect(page.locator("[data-node='8'] .corner")).to_be_hidden()


def test_a_node_is_resized_by_its_corner(page: Page, editor: Editor) -> None:
    before = editor.node(6)
    box = page.locator("[data-node='6']").bounding_box()
    assert before and box
    corner = (box["x"] + box["width"] - 3, box["y"] + box["height"] - 3)
    editor.drag(corner, (corner[0] + 60, corner[1] + 40))
    after = editor.node(6)
    assert after and after["size"][0] > before["size"][0] + 40
    assert after["size"][1] > before["size"][1] + 30
    page.keyboard.press("Control+z")
    assert editor.node(6) == before


def test_nodes_are_aligned_and_spread(page: Page, editor: Editor) -> None:
    editor.drag(*_around(page, 5, 6, 7), "Shift")
    editor.head(6).click(button="right")
    page.get_by_role("menuitem", name="Align right edges").click()
    edges = {sum(page.evaluate("id => loom.session.scene.box(id)", node)[0::2]) for node in ("5", "6", "7")}
    assert len(edges) == 1
    editor.head(6).click(button="right")
    page.get_by_role("menuitem", name="Even rows").click()
    boxes = [page.evaluate("id => loom.session.scene.box(id)", node) for node in ("5", "6", "7")]
    boxes.sort(key=lambda box: box[1])
    gaps = [second[1] - first[1] - first[3] for first, second in pairwise(boxes)]
    assert abs(gaps[0] - gaps[1]) <= 1


def test_a_pasted_picture_goes_to_the_selected_node(page: Page, editor: Editor) -> None:
    page.evaluate("loom.editor.services.search({ at: [400, 620], screen: [600, 500] })")
    editor.choose("load image")
    page.evaluate(
        """async () => {
          const canvas = new OffscreenCanvas(8, 8); canvas.getContext("2d").fillRect(0, 0, 8, 8);
          const file = new File([await canvas.convertToBlob()], "pasted-spot.png", { type: "image/png" });
          const data = new DataTransfer(); data.items.add(file);
          const paste = { clipboardData: data, bubbles: true, cancelable: true };
          document.body.dispatchEvent(new ClipboardEvent("paste", paste));
        }"""
    )
    editor.settled("String(loom.session.document.graph.node(10).widgets_values[0]).startsWith('pasted-spot')")
    expect(page.locator("[data-node='10'] .media img")).to_be_visible()
    assert len(editor.record()["nodes"]) == 8

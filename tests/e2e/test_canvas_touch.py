"""The graph under fingers: real touch events on a tablet's screen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.e2e.editor import Editor
from tests.e2e.fingers import Fingers

REST = 650


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A tablet held sideways."""
    context = browser.new_context(viewport={"width": 1180, "height": 820}, has_touch=True, is_mobile=True)
    yield context
    context.close()


@pytest.fixture
def fingers(page: Page) -> Fingers:
    return Fingers(page)


def _field(page: Page) -> tuple[float, float]:
    """A place of the bare field, in the window."""
    box = page.locator(".stage").bounding_box()
    assert box
    return box["x"] + box["width"] - 160, box["y"] + 40


def test_two_fingers_zoom_and_move_the_view(page: Page, fingers: Fingers) -> None:
    x, y = _field(page)
    under = f"loom.session.viewport.toGraph(loom.editor.local({{clientX: {x - 50}, clientY: {y + 60}}}))"
    before, scale = page.evaluate(under), page.evaluate("loom.session.viewport.scale")
    fingers.down((x - 80, y + 60), (x - 20, y + 60))
    fingers.move((x - 110, y + 60), (x + 10, y + 60))
    assert page.evaluate("loom.session.viewport.scale") == pytest.approx(scale * 2, rel=0.01)
    assert page.evaluate(under) == pytest.approx(before, abs=0.5)
    offset = page.evaluate("loom.session.viewport.offset")
    fingers.move((x - 140, y + 100), (x - 20, y + 100))
    fingers.up()
    moved = page.evaluate("loom.session.viewport.offset")
    assert [b - a for a, b in zip(offset, moved, strict=True)] == pytest.approx([-30, 40], abs=0.5)


def test_one_finger_moves_the_view_or_a_node(page: Page, editor: Editor, fingers: Fingers) -> None:
    x, y = _field(page)
    offset = page.evaluate("loom.session.viewport.offset")
    fingers.drag((x, y), (x - 60, y + 30))
    moved = page.evaluate("loom.session.viewport.offset")
    assert [round(b - a) for a, b in zip(offset, moved, strict=True)] == [-60, 30]
    before = editor.node(9)
    at = editor.middle(editor.head(9))
    fingers.drag(at, (at[0] + 20, at[1] + 90))
    after = editor.node(9)
    assert before and after and after["pos"] != before["pos"]


def test_taps_on_two_sockets_connect_them(page: Page, editor: Editor, fingers: Fingers) -> None:
    fingers.tap(editor.dot(6, "out:0"))
    expect(page.locator(".socket.fits")).to_have_count(2)
    fingers.tap(editor.dot(3, "in:2"))
    assert (6, 0, 3, 2) in editor.links()
    expect(page.locator(".socket.fits")).to_have_count(0)


def test_a_tap_beside_a_socket_lets_the_link_go(page: Page, editor: Editor, fingers: Fingers) -> None:
    before = editor.links()
    fingers.tap(editor.dot(6, "out:0"))
    fingers.tap(_field(page))
    expect(page.locator(".socket.fits")).to_have_count(0)
    fingers.tap(editor.dot(3, "in:2"))
    assert editor.links() == before


def test_a_finger_pulls_a_link_to_its_place(page: Page, editor: Editor, fingers: Fingers) -> None:
    fingers.drag(editor.dot(6, "out:0"), editor.dot(3, "in:2"))
    assert (6, 0, 3, 2) in editor.links()


def test_a_finger_that_rests_opens_the_menu_of_a_node(page: Page, editor: Editor, fingers: Fingers) -> None:
    fingers.down(editor.middle(editor.head(7)))
    page.get_by_role("menuitem", name="Bypass").wait_for()
    fingers.up()
    expect(page.get_by_role("menuitem", name="Bypass")).to_be_visible()
    fingers.tap(editor.middle(page.get_by_role("menuitem", name="Bypass")))
    node = editor.node(7)
    assert node and node["mode"] == 4


def test_resting_and_moving_on_selects_in_a_box(page: Page, editor: Editor, fingers: Fingers) -> None:
    left, top = editor.middle(editor.head(6))
    right, bottom = editor.middle(editor.head(7))
    box = page.locator("[data-node='6']").bounding_box()
    assert box
    offset = page.evaluate("loom.session.viewport.offset")
    fingers.drag((box["x"] - 10, box["y"] - 12), (max(left, right) + 10, max(top, bottom) + 10), rest=REST)
    assert page.evaluate("[...loom.session.document.selection].sort()") == ["6", "7"]
    assert page.evaluate("loom.session.viewport.offset") == offset


def test_resting_on_the_field_and_letting_go_opens_its_menu(page: Page, fingers: Fingers) -> None:
    fingers.down(_field(page))
    page.wait_for_timeout(REST)
    expect(page.get_by_role("menu")).to_have_count(0)
    fingers.up()
    expect(page.get_by_role("menuitem", name="Add a node…")).to_be_visible()


def test_a_second_finger_stops_what_the_first_began(page: Page, editor: Editor, fingers: Fingers) -> None:
    before = editor.node(8)
    x, y = editor.middle(editor.head(8))
    fingers.down((x, y))
    fingers.move((x + 40, y + 40))
    fingers.down((x + 40, y + 40), (x + 140, y + 40))
    fingers.up()
    after = editor.node(8)
    assert before and after and after["pos"] == before["pos"]


def test_a_number_under_one_of_two_fingers_keeps_its_value(page: Page, editor: Editor, fingers: Fingers) -> None:
    before = editor.node(5)
    x, y = editor.middle(editor.widget(5, "width"))
    scale = page.evaluate("loom.session.viewport.scale")
    fingers.down((x, y))
    fingers.move((x + 25, y))
    fingers.down((x + 25, y), (x + 125, y))
    fingers.move((x - 25, y), (x + 175, y))
    fingers.move((x - 75, y), (x + 225, y))
    fingers.up()
    assert page.evaluate("loom.session.viewport.scale") > scale * 1.5
    assert editor.node(5) == before

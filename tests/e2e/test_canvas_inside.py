"""Subgraphs: an instance with its promoted fields, and its inside, which is edited as any graph is."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.editor import Editor
from tests.e2e.fake_server import FakeServer

INNER, OUTER = "11111111-aaaa-4aaa-8aaa-111111111111", "22222222-bbbb-4bbb-8bbb-222222222222"


def _definition(uid: str, name: str, nodes: list[Any], links: list[Any], inputs: list[Any]) -> dict[str, Any]:
    return {
        "id": uid,
        "version": 1,
        "name": name,
        "state": {"lastNodeId": 9, "lastLinkId": 9, "lastGroupId": 0, "lastRerouteId": 0},
        "inputNode": {"id": -10, "bounding": [-260, 60, 128, 100]},
        "outputNode": {"id": -20, "bounding": [620, 60, 128, 60]},
        "inputs": inputs,
        "outputs": [{"id": f"{uid}-out", "name": "IMAGE", "type": "IMAGE", "linkIds": [3]}],
        "nodes": nodes,
        "links": links,
        "groups": [],
        "extra": {},
    }


def _link(link: int, origin: int, slot: int, target: int, into: int, kind: str) -> dict[str, Any]:
    return {
        "id": link,
        "origin_id": origin,
        "origin_slot": slot,
        "target_id": target,
        "target_slot": into,
        "type": kind,
    }


def _workflow() -> dict[str, Any]:
    """An instance of a definition that holds an instance of another, which blurs a picture."""
    blur = {
        "id": 1,
        "type": "ImageBlur",
        "pos": [100, 80],
        "size": [280, 110],
        "mode": 0,
        "inputs": [
            {"name": "image", "type": "IMAGE", "link": 1},
            {"name": "blur_radius", "type": "INT", "link": 2, "widget": {"name": "blur_radius"}},
        ],
        "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [3]}],
        "widgets_values": [4, 1.0],
    }
    ports = [{"id": "p", "name": "image", "type": "IMAGE"}, {"id": "q", "name": "softness", "type": "INT"}]
    links = [_link(1, -10, 0, 1, 0, "IMAGE"), _link(2, -10, 1, 1, 1, "INT"), _link(3, 1, 0, -20, 0, "IMAGE")]
    inner = _definition(INNER, "Soften", [blur], links, ports)
    held = {**blur, "type": INNER, "widgets_values": [], "size": [240, 110]}
    held["inputs"] = [
        {"name": "image", "type": "IMAGE", "link": 1},
        {"name": "softness", "type": "INT", "link": 2, "widget": {"name": "softness"}},
    ]
    outer = _definition(OUTER, "Twice", [held], links, ports)
    instance = {
        "id": 1,
        "type": OUTER,
        "pos": [300, 160],
        "size": [260, 120],
        "mode": 0,
        "title": "My blur",
        "inputs": [{"name": "image", "type": "IMAGE", "link": None}],
        "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": None}],
        "widgets_values": [9],
    }
    return {
        "last_node_id": 2,
        "last_link_id": 0,
        "nodes": [instance, {**instance, "id": 2, "pos": [300, 340], "title": "Other", "widgets_values": []}],
        "links": [],
        "definitions": {"subgraphs": [outer, inner]},
        "version": 0.4,
    }


@pytest.fixture
def opened_workflow(page: Page, editor: Editor) -> dict[str, Any]:
    page.evaluate("record => void loom.tabs.open(record, { name: 'Nested' })", _workflow())
    page.locator("[data-node='2'] .widget").first.wait_for()
    return editor.record()


def test_each_instance_has_its_own_values(page: Page, editor: Editor, opened_workflow: dict[str, Any]) -> None:
    first, second = (editor.widget(node_id, "softness").locator("input") for node_id in (1, 2))
    expect(first).to_have_value("9")
    expect(second).to_have_value("4")  # says nothing itself: what is stored inside
    editor.widget(2, "softness").click()
    page.keyboard.type("12")
    page.keyboard.press("Enter")
    expect(first).to_have_value("9")
    after = editor.record()
    assert after["nodes"][1]["widgets_values"] == [12]
    assert after["definitions"] == opened_workflow["definitions"]


def _enter(page: Page, title: str) -> None:
    page.get_by_role("button", name=f"Open {title}: look inside").click()
    page.get_by_role("group", name="Inputs, node -10").wait_for()


def _inside(editor: Editor, name: str) -> dict[str, Any]:
    """A definition as it would be saved."""
    return next(each for each in editor.record()["definitions"]["subgraphs"] if each["name"] == name)


def _steps(page: Page) -> Locator:
    return page.get_by_role("navigation", name="Where you are").get_by_role("button")


def test_one_looks_into_both_levels_and_comes_back(page: Page, editor: Editor, opened_workflow: dict[str, Any]) -> None:
    page.evaluate("loom.editor.zoom(0.8)")
    view = page.evaluate("({ ...loom.session.viewport })")
    _enter(page, "My blur")
    expect(page.get_by_role("main")).to_have_attribute("aria-label", "Graph inside My blur")
    expect(page.get_by_role("button", name="look inside")).to_have_count(1)  # the borders have no inside
    field = page.locator("[data-node='1'] .widget[data-input='softness'] input")
    expect(field).to_have_value("9")
    expect(field).to_be_disabled()  # what the instance says is shown, and said there
    _enter(page, "Soften")
    expect(page.locator("[data-node='1'] .node-name")).to_have_text("Image Blur")
    expect(page.locator("[data-node='1'] .widget[data-input='blur_radius'] input")).to_have_value("9")
    expect(_steps(page)).to_have_text(["Nested", "My blur", "Soften"])
    expect(_steps(page).last).to_have_attribute("aria-current", "page")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Open Soften: look inside")).to_be_visible()
    expect(page.get_by_role("group", name="Soften, node 1")).to_be_focused()
    _steps(page).first.click()
    expect(page.get_by_role("button", name="Open My blur: look inside")).to_be_visible()
    expect(page.get_by_role("navigation", name="Where you are")).to_have_count(0)
    assert editor.record() == opened_workflow
    assert page.evaluate("({ ...loom.session.viewport })") == view  # where one was before


@pytest.mark.usefixtures("opened_workflow")
def test_a_step_inside_is_undone_where_it_was_done(page: Page, editor: Editor) -> None:
    box = page.locator("[data-node='1'] .node-body").bounding_box()
    assert box
    page.mouse.dblclick(box["x"] + box["width"] / 2, box["y"] + box["height"] - 4)
    page.get_by_role("group", name="Inputs, node -10").wait_for()
    start = editor.middle(editor.head(1))
    editor.drag(start, (start[0] + 60, start[1] + 40), "Control")
    (held,) = _inside(editor, "Twice")["nodes"]
    assert held["pos"] == [160, 120]
    page.keyboard.press("Delete")
    expect(editor.head(1)).to_have_count(0)
    assert _inside(editor, "Twice")["nodes"] == []
    page.keyboard.press("Control+ArrowUp")
    expect(page.get_by_role("button", name="Open My blur: look inside")).to_be_visible()
    page.keyboard.press("Control+z")
    expect(editor.head(1)).to_have_text("Soften")  # undo goes to where it happens
    expect(_steps(page)).to_have_text(["Nested", "My blur"])
    page.keyboard.press("Control+z")
    editor.settled("loom.session.document.graph.node(1).pos[0] === 100")
    page.keyboard.press("Control+Shift+z")
    page.keyboard.press("Control+Shift+z")
    expect(editor.head(1)).to_have_count(0)


@pytest.mark.usefixtures("opened_workflow")
def test_a_field_inside_becomes_one_of_every_instance(page: Page, editor: Editor) -> None:
    _enter(page, "My blur")
    _enter(page, "Soften")
    offer = page.locator("[data-node='1'] [data-slot='in:-1:sigma'] .dot")
    editor.drag(editor.middle(page.locator("[data-node='-10'] .fresh .dot")), editor.middle(offer))
    ports = _inside(editor, "Soften")["inputs"]
    assert [port["name"] for port in ports] == ["image", "softness", "sigma"]
    assert len(ports[2]["linkIds"]) == 1
    page.keyboard.press("Control+ArrowUp")
    sigma = editor.widget(1, "sigma").locator("input")
    expect(sigma).to_have_value("1.0")
    sigma.fill("3")
    sigma.press("Enter")
    (held,) = _inside(editor, "Twice")["nodes"]
    assert held["widgets_values"][-1] == 3


@pytest.mark.usefixtures("opened_workflow")
def test_inputs_are_named_moved_and_removed(page: Page, editor: Editor) -> None:
    _enter(page, "My blur")
    page.locator("[data-node='-10'] [data-slot='out:0:']").focus()
    page.keyboard.press("F2")
    page.get_by_role("dialog", name="Rename the input").wait_for()
    page.keyboard.type("picture")
    page.keyboard.press("Enter")
    socket = page.get_by_role("button", name="Output picture, IMAGE")
    expect(socket).to_be_visible()
    socket.click(button="right")
    page.get_by_role("menuitem", name="Move down").click()
    editor.settled("loom.session.document.graph.node(-10).outputs[1].label === 'picture'")
    page.get_by_role("button", name="Output softness, INT").click(button="right")
    page.get_by_role("menuitem", name="Remove the input").click()
    expect(page.get_by_role("button", name="Output softness, INT")).to_have_count(0)
    _steps(page).first.click()
    for node_id in (1, 2):
        expect(editor.widget(node_id, "softness")).to_have_count(0)
        expect(page.locator(f"[data-node='{node_id}'] .socket-name").first).to_have_text("picture")
    assert [node["widgets_values"] for node in editor.record()["nodes"]] == [[], []]


def test_nodes_are_packed_and_unpacked_by_keyboard(page: Page, editor: Editor) -> None:
    before = editor.record()
    page.evaluate("loom.session.document.select(['3', '8'])")
    page.keyboard.press("Control+Shift+G")
    made = page.get_by_role("group", name="Subgraph, node")
    expect(made).to_be_focused()
    assert len(editor.record()["nodes"]) == len(before["nodes"]) - 1
    page.keyboard.press("Enter")
    expect(_steps(page)).to_have_text(["First picture", "Subgraph"])
    expect(editor.head(3)).to_be_visible()
    _steps(page).last.click()
    page.get_by_role("dialog", name="Rename the subgraph").wait_for()
    page.keyboard.type("Draw")
    page.keyboard.press("Enter")
    expect(_steps(page).last).to_have_text("Draw")
    page.keyboard.press("Control+ArrowUp")
    page.get_by_role("group", name="Draw, node").click(button="right")
    page.get_by_role("menuitem", name="Unpack").click()
    editor.settled("loom.session.document.graph.nodes.size === 7")
    for _ in range(3):
        page.keyboard.press("Control+z")
    editor.settled("loom.session.document.history.done.length === 0")
    assert editor.record() == before


def test_what_lies_between_is_named(page: Page, editor: Editor) -> None:
    before = editor.record()
    page.evaluate("loom.session.document.select(['4', '3'])")
    page.keyboard.press("Control+k")
    editor.choose("make a subgraph")
    expect(page.get_by_text("lies between the selected nodes")).to_be_visible()
    assert editor.record() == before


def test_runs_show_inside_and_outside(scripted_page: Page, server: FakeServer) -> None:
    page, editor = scripted_page, Editor(scripted_page)
    page.evaluate("loom.session.document.select(['3', '8', '9'])")
    page.keyboard.press("Control+Shift+G")
    made = page.get_by_role("group", name="Subgraph, node 10")
    expect(made).to_be_focused()
    page.keyboard.press("Control+Enter")
    expect(made).to_have_attribute("data-state", "done")
    expect(made.locator(".media img")).to_be_visible()
    _enter(page, "Subgraph")
    expect(page.locator("[data-node='9'] .media img")).to_be_visible()
    expect(page.locator("[data-node='3']")).to_have_attribute("data-state", "done")
    page.get_by_role("button", name="First picture").last.click()
    server.failure = "no such thing"
    page.keyboard.press("Control+Enter")
    expect(made.locator(".callout")).to_contain_text("no such thing")
    page.get_by_role("alert").get_by_role("button", name="Show").click()
    sampler = page.get_by_role("group", name="KSampler, node 3")
    expect(sampler).to_be_focused()
    expect(sampler.locator(".callout")).to_contain_text("no such thing")
    expect(sampler.locator("[aria-invalid]")).to_have_count(0)
    server.blamed = "steps"
    page.keyboard.press("Control+Enter")
    expect(sampler.locator(".callout")).to_contain_text("steps: no such thing")
    expect(sampler.locator(".field.bad[data-input='steps']")).to_be_visible()
    expect(sampler.locator(".field.bad, .field [aria-invalid]")).to_have_count(2)
    expect(page.locator(".problem-bar")).to_contain_text("KSampler failed at steps: no such thing")
    assert editor.record()["nodes"][-1]["id"] == 10


@pytest.mark.usefixtures("opened_workflow")
def test_the_outline_finds_what_is_inside(page: Page) -> None:
    page.keyboard.press("o")
    tree = page.get_by_role("tree", name="Nodes in running order")
    expect(tree.get_by_role("treeitem")).to_have_count(6)
    page.get_by_role("searchbox", name="Find in graph").fill("image blur")
    expect(tree.get_by_role("treeitem")).to_have_count(2)
    tree.get_by_role("treeitem").last.click()
    expect(page.get_by_role("group", name="Image Blur, node 1")).to_be_focused()
    expect(_steps(page)).to_have_text(["Nested", "Other", "Soften"])


@pytest.mark.usefixtures("opened_workflow")
def test_a_reload_brings_the_inside_back(page: Page, editor: Editor) -> None:
    _enter(page, "My blur")
    page.evaluate("loom.session.document.select(['1'])")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Control+d")
    editor.settled("loom.session.document.graph.nodes.size === 4")
    record = editor.record()
    assert [node["pos"] for node in _inside(editor, "Twice")["nodes"]] == [[110, 80], [150, 120]]
    page.wait_for_timeout(300)  # changes of one moment are written down together
    page.reload()
    editor.settled("window.loom?.session && loom.ready && loom.levels")
    assert editor.record() == record
    page.evaluate("loom.levels.go([])")  # it may have come back to the inside
    _enter(page, "My blur")
    expect(page.locator(".node")).to_have_count(4)

"""Subgraphs: an instance with its promoted fields, and its inside to look at."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.editor import Editor

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


def test_one_looks_into_both_levels_and_comes_back(page: Page, editor: Editor, opened_workflow: dict[str, Any]) -> None:
    page.get_by_role("button", name="Look inside My blur").click()
    dialog = page.get_by_role("dialog", name="Inside My blur")
    expect(dialog.get_by_role("group", name="Inputs, node -10")).to_be_visible()
    expect(dialog.get_by_role("button", name="Look inside")).to_have_count(1)  # the borders have no inside
    field = dialog.locator("[data-node='1'] .widget[data-input='softness'] input")
    expect(field).to_have_value("9")
    expect(field).to_be_disabled()
    dialog.get_by_role("button", name="Look inside Soften").click()
    expect(dialog.locator("[data-node='1'] .node-name")).to_have_text("Image Blur")
    expect(dialog.locator("[data-node='1'] .widget[data-input='blur_radius'] input")).to_have_value("9")
    here = dialog.get_by_role("navigation", name="Where you are")
    expect(here.get_by_role("listitem")).to_have_count(3)
    expect(here.locator("[aria-current=page]")).to_have_text("Soften")
    here.get_by_role("button", name="My blur").click()
    expect(dialog.get_by_role("button", name="Look inside Soften")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert editor.record() == opened_workflow


def test_nothing_done_inside_reaches_the_file(page: Page, editor: Editor, opened_workflow: dict[str, Any]) -> None:
    box = page.locator("[data-node='1'] .node-body").bounding_box()
    assert box
    page.mouse.dblclick(box["x"] + box["width"] / 2, box["y"] + box["height"] - 4)
    dialog = page.get_by_role("dialog", name="Inside My blur")
    node = dialog.locator("[data-node='1'] .node-name")
    start = editor.middle(node)
    editor.drag(start, (start[0] + 60, start[1] + 40))
    moved = editor.middle(node)
    assert moved == pytest.approx((start[0] + 60, start[1] + 40), abs=1)  # the view moved, not the node
    page.mouse.click(*moved)
    page.keyboard.press("Delete")
    page.mouse.click(*moved, button="right")
    expect(page.get_by_role("menu")).to_have_count(0)
    expect(node).to_be_visible()
    page.keyboard.press("Escape")
    assert editor.record() == opened_workflow

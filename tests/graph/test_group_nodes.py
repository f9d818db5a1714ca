from __future__ import annotations

from typing import Any

import pytest

from app.graph.document import Document, UiGraph, UiNode, parse_document
from app.graph.group_nodes import group_graph
from app.graph.spec import InputSpec, NodeSpec

BLUR = NodeSpec("Blur", (InputSpec("image", "IMAGE"), InputSpec("radius", "INT"), InputSpec("seed", "INT")))


def inner(kind: str = "Blur", **more: Any) -> dict[str, Any]:
    sockets = [
        {"name": "image", "type": "IMAGE", "link": 7},
        {"name": "radius", "type": "INT", "widget": {"name": "radius"}},
    ]
    return {
        "type": kind,
        "inputs": sockets,
        "outputs": [{"name": "IMAGE", "type": "IMAGE"}],
        "widgets_values": [1, 2, "fixed"],
        **more,
    }


def document(**group: Any) -> Document:
    return parse_document({"nodes": [], "extra": {"groupNodes": {"Pair": {"nodes": [inner(), inner()], **group}}}})


def opened(held: Document, values: Any = (), kind: str = "workflow>Pair") -> UiGraph:
    graph = group_graph(held, UiNode("5", kind, values=list(values)), {"Blur": BLUR}, {})
    assert graph is not None
    return graph


@pytest.mark.parametrize("kind", ["workflow>Pair", "workflow/Pair"])
def test_the_nodes_inside_have_their_places_for_ids(kind: str) -> None:
    graph = opened(document(), kind=kind)
    assert list(graph.nodes) == ["0", "1"]
    assert graph.name == "Pair"


@pytest.mark.parametrize("kind", ["Pair", "workflow>Other", "workflow>", "Blur"])
def test_any_other_node_is_none(kind: str) -> None:
    assert group_graph(document(), UiNode("5", kind), {}, {}) is None


def test_names_that_come_twice_get_the_node_s() -> None:
    named = document(nodes=[inner(), inner(title="Mine"), inner()])
    assert opened(named).inputs == ("image", "radius", "Mine image", "Mine radius", "Blur image", "Blur radius")
    thrice = document(nodes=[inner(), inner(), inner()])
    assert opened(thrice).inputs[4] == "Blur 2 image"


def test_inputs_fed_inside_do_not_lead_outside() -> None:
    graph = opened(document(links=[[0, 0, 1, 0, 1, "IMAGE"]]))
    assert graph.inputs == ("image", "radius", "Blur radius")
    assert next((link.origin, link.target) for link in graph.links.values()) == ("0", "1")
    assert [link.origin for link in graph.links.values() if link.target == "-20"] == ["1"]


def test_an_output_used_inside_may_lead_outside_too() -> None:
    graph = opened(document(links=[[0, 0, 1, 0]], external=[[0, 0, "IMAGE"]]))
    assert [link.origin for link in graph.links.values() if link.target == "-20"] == ["0", "1"]


def test_values_are_dealt_in_order() -> None:
    graph = opened(document(), [10, 20, "randomize", 30])
    assert graph.nodes["0"].values == [10, 20, "randomize"]
    assert graph.nodes["1"].values == [30, 2, "fixed"]


def test_a_widget_fed_inside_has_no_value_outside() -> None:
    graph = opened(document(links=[[0, 0, 1, 1]]), [10, 20, "fixed", 21, "increment"])
    assert graph.nodes["1"].values == [1, 21, "increment"]


def test_what_the_user_hid_or_renamed_is_followed() -> None:
    config = {
        "0": {
            "input": {"radius": {"visible": False}, "image": {"name": "picture"}},
            "output": {"0": {"visible": False}},
        }
    }
    graph = opened(document(config=config), [20, "fixed"])
    assert graph.inputs == ("picture", "image", "radius")
    assert graph.nodes["0"].values == [1, 20, "fixed"]
    assert [link.origin for link in graph.links.values() if link.target == "-20"] == ["1"]


@pytest.mark.parametrize(
    "odd", [{"nodes": [None, 5]}, {"links": [None, [1], ["a", 0, 1, 0]]}, {"external": 3, "config": []}]
)
def test_odd_definitions_are_read_without_a_fault(odd: Any) -> None:
    assert opened(document(**odd)).name == "Pair"

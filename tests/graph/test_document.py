from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidPrompt
from app.graph.document import UiLink, is_workflow, parse_document

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
LINK = UiLink("7", "1", 0, "2", 3)


@pytest.mark.parametrize(
    "link",
    [
        [7, 1, 0, 2, 3, "IMAGE"],
        [7.0, "1", "0", 2, "3", "IMAGE"],
        [7, 1, 0, 2, 3, ["a"], "more"],
        {"id": 7, "origin_id": 1, "origin_slot": 0, "target_id": 2, "target_slot": 3, "type": "IMAGE", "parentId": 5},
    ],
)
def test_links_of_both_versions_are_read(link: Any) -> None:
    document = parse_document({"nodes": [], "links": [None, link, [1, 2], "odd", {}, [8, 1, -1, 2, 0, "X"]]})
    assert dict(document.graph.links) == {"7": LINK}


def test_nodes_are_read_leniently() -> None:
    document = parse_document(
        {
            "nodes": [
                {
                    "id": 5,
                    "type": "T2IAdapterLoader",
                    "mode": 4,
                    "title": "Mine",
                    "inputs": [{"name": "x", "type": "IMAGE", "link": 7, "widget": {"name": "x"}}, None],
                    "outputs": [{"name": "o", "type": "IMAGE", "links": [1]}],
                    "widgets_values": [1, "a"],
                },
                None,
                "odd",
                {"id": "6", "type": None, "inputs": None, "outputs": 5, "widgets_values": 7, "mode": "x"},
            ]
        }
    )
    first, second = document.graph.nodes.values()
    assert (first.id, first.type, first.mode, first.title) == ("5", "T2IAdapterLoader", 4, "Mine")
    assert first.inputs[0].link == "7" and first.inputs[0].widget
    assert first.outputs == ("IMAGE",)
    assert first.values == [1, "a"]
    assert (second.id, second.type, second.mode, second.values) == ("6", "", 0, [])


def test_definitions_are_found_at_every_depth() -> None:
    inner = {"id": "in", "name": "Inner", "nodes": [], "inputs": [{"name": "x"}, {"name": "y"}]}
    outer = {"id": "out", "nodes": [], "definitions": {"subgraphs": [inner]}}
    document = parse_document({"nodes": [], "definitions": {"subgraphs": [outer, None]}})
    assert set(document.definitions) == {"out", "in"}
    assert document.definitions["in"].inputs == ("x", "y")


@pytest.mark.parametrize("data", [None, [], {}, {"nodes": {}}, {"1": {"class_type": "A", "inputs": {}}}])
def test_what_is_no_workflow_is_told(data: Any) -> None:
    assert not is_workflow(data)
    with pytest.raises(InvalidPrompt, match="no saved workflow"):
        parse_document(data)


def test_endless_depth_is_refused() -> None:
    deep: Any = {}
    for _ in range(10_000):
        deep = {"deeper": deep}
    with pytest.raises(InvalidPrompt, match="nests deeper"):
        parse_document({"nodes": [], "extra": deep})


def test_too_many_nodes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.graph.document.MAX_NODES", 2)
    with pytest.raises(InvalidPrompt, match="more than 2"):
        parse_document({"nodes": [{"id": i} for i in range(3)]})


@given(st.lists(JSON, max_size=4), JSON, JSON)
def test_any_content_is_read(nodes: list[Any], links: Any, definitions: Any) -> None:
    parse_document({"nodes": nodes, "links": links, "definitions": definitions})

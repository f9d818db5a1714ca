from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidPrompt
from app.graph.prompt import MAX_DEPTH, Link, NoLink, as_link, depth_exceeds, parse_prompt, prompt_to_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
LITERALS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)


def one(value: object) -> object:
    """What an input's JSON value is read as."""
    return parse_prompt({"1": {"class_type": "A", "inputs": {"x": value}}}).nodes["1"].inputs["x"]


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (["4", 0], Link("4", 0)),
        (["4", 1.0], Link("4", 1)),
        (["5:12", 2], Link("5:12", 2)),
        ({"__value__": ["4", 0]}, ["4", 0]),
        ({"__value__": 5}, 5),
        ({"__type__": "CURVE", "__value__": [[0, 0], [1, 1]]}, [[0, 0], [1, 1]]),
        ({"other": 1}, {"other": 1}),
        ("text", "text"),
        (None, None),
        (True, True),
    ],
)
def test_inputs_are_links_or_literals(value: object, read: object) -> None:
    assert one(value) == read
    assert isinstance(one(value), Link) is isinstance(read, Link)


@pytest.mark.parametrize(
    "value",
    [[], ["4"], ["4", 0, 0], [4, 0], ["4", "0"], ["4", True], ["4", 0.5], ["4", -1], ["4", math.nan], ["4", math.inf]],
)
def test_a_list_that_is_no_link_stays_what_it_is(value: list[object]) -> None:
    read = one(value)
    assert isinstance(read, NoLink)
    assert read.value is value


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (None, "not null"),
        ([], "not a list"),
        ("{}", "not text"),
        (7, "not a number"),
        ({"nodes": [], "links": []}, "saved workflow"),
        ({"1": None}, "Node 1 is null"),
        ({"1": []}, "Node 1 is a list"),
        ({"1": {}}, "missing the class_type"),
        ({"1": {"class_type": None}}, "missing the class_type"),
        ({"1": {"class_type": 5}}, "missing the class_type"),
        ({"1": {"class_type": "A", "inputs": []}}, "inputs of node 1 are a list"),
        ({"1": {"class_type": "A", "inputs": None}}, "inputs of node 1 are null"),
        ({1: {"class_type": "A", "inputs": {}}}, "node id is text"),
    ],
)
def test_what_is_no_prompt_is_refused_with_a_way_out(data: object, part: str) -> None:
    with pytest.raises(InvalidPrompt) as refused:
        parse_prompt(data)
    assert part in refused.value.message
    assert refused.value.remedy
    assert refused.value.kind == "invalid_prompt"


def test_the_details_name_the_node() -> None:
    with pytest.raises(InvalidPrompt) as refused:
        parse_prompt({"17": {"inputs": {}}})
    assert refused.value.details == "Node ID '#17'"


def test_a_huge_id_does_not_come_back_whole() -> None:
    with pytest.raises(InvalidPrompt) as refused:
        parse_prompt({"x" * 100_000: None})
    assert len(str(refused.value)) < 500


def test_nodes_keep_their_order_and_titles() -> None:
    data = {
        "b": {"class_type": "B", "inputs": {}, "_meta": {"title": "Second"}},
        "a": {"class_type": "A", "_meta": None, "ignored": 1},
    }
    prompt = parse_prompt(data)
    assert list(prompt.nodes) == ["b", "a"]
    assert [node.title for node in prompt.nodes.values()] == ["Second", ""]


def test_links_lists_the_linked_inputs_only() -> None:
    node = parse_prompt({"1": {"class_type": "A", "inputs": {"x": ["2", 1], "y": 3, "z": [1]}}}).nodes["1"]
    assert dict(node.links()) == {"x": Link("2", 1)}


def nested(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = {"deeper": value}
    return value


def test_deep_values_are_refused_without_exhausting_the_stack() -> None:
    assert one(nested(MAX_DEPTH - 1)) == nested(MAX_DEPTH - 1)
    with pytest.raises(InvalidPrompt, match="nests deeper"):
        one(nested(50_000))


def test_depth_counts_containers() -> None:
    assert not depth_exceeds(5, 1)
    assert not depth_exceeds([1, [2]], 2)
    assert depth_exceeds([1, [2]], 1)


def test_too_many_nodes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.graph.prompt.MAX_NODES", 2)
    with pytest.raises(InvalidPrompt, match="more than 2"):
        parse_prompt({str(i): {"class_type": "A"} for i in range(3)})


def test_wrapped_values_are_written_wrapped() -> None:
    data = {"1": {"class_type": "A", "inputs": {"x": {"__value__": [1, 2]}, "y": ["2", 0], "z": [1]}}}
    assert prompt_to_json(parse_prompt(data)) == data


@given(st.dictionaries(st.text(min_size=1, max_size=5), LITERALS, max_size=4), st.text(max_size=5))
def test_writing_and_reading_again_changes_nothing(inputs: dict[str, object], title: str) -> None:
    data = {"1": {"class_type": "A", "inputs": {**inputs, "l": ["0", 3]}, "_meta": {"title": title}}}
    prompt = parse_prompt(data)
    assert parse_prompt(prompt_to_json(prompt)) == prompt


@given(JSON)
def test_any_json_is_read_or_refused(data: object) -> None:
    try:
        prompt = parse_prompt(data)
    except InvalidPrompt:
        return
    assert parse_prompt(prompt_to_json(prompt)) == prompt


@given(JSON)
def test_any_json_input_survives_the_round_trip(value: object) -> None:
    prompt = parse_prompt({"1": {"class_type": "A", "inputs": {"x": {"__value__": value}}}})
    assert parse_prompt(prompt_to_json(prompt)) == prompt


def test_as_link_takes_links_as_they_are() -> None:
    assert as_link(Link("1", 2)) == Link("1", 2)
    assert as_link(("1", 2)) is None
    assert as_link("12") is None

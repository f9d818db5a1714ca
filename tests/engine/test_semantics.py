"""The worked example of the execution semantics, from JSON data to events, and rules that span several modules."""

from __future__ import annotations

from typing import Annotated, Any

import pytest

from app.engine.cache import Cache
from app.engine.events import Event, NodeFinished, NodesCached, NodeStarted, RunSucceeded
from app.engine.run import run
from app.errors import InvalidPrompt
from app.graph.declaration import FunctionNode, Port, Range, node
from app.graph.prompt import parse_prompt, prompt_to_json
from app.graph.returned import Returned
from app.graph.validate import Validated, validate

Graph = dict[str, dict[str, Any]]


@node("Empty", category="toy", id="EmptyImage")
def empty(
    *,
    width: Annotated[int, Range(1, 16384)],
    height: Annotated[int, Range(1, 16384)],
    batch_size: Annotated[int, Range(1, 4096)] = 1,
    color: Annotated[int, Range(0, 0xFFFFFF)] = 0,
) -> Annotated[Any, Port("IMAGE")]:
    """Stands for a picture."""
    return (width, height, batch_size, color)


@node("Preview", category="toy", id="PreviewImage", output_node=True)
def preview(*, images: Annotated[Any, Port("IMAGE")]) -> Returned:
    """Shows it."""
    return Returned(ui={"images": [str(images)]})


NODES: dict[str, FunctionNode] = {"EmptyImage": empty, "PreviewImage": preview}
SPECS = {name: each.spec for name, each in NODES.items()}


def example(color: int = 0, link: list[Any] | None = None, names: tuple[str, str] = ("a", "b")) -> Graph:
    first, second = names
    inputs = {"width": "64", "height": 64, "batch_size": 1, "color": color}
    return {
        first: {"class_type": "EmptyImage", "inputs": inputs},
        second: {"class_type": "PreviewImage", "inputs": {"images": link or [first, 0]}},
    }


def valid(graph: Graph) -> Validated:
    return validate(parse_prompt(graph), SPECS, {})


def ran(graph: Graph, cache: Cache) -> list[Event]:
    checked = valid(graph)
    return list(run(checked.prompt, checked.outputs, NODES, cache, lambda site: None, lambda: False))


def errors(graph: Graph) -> dict[str, Any]:
    with pytest.raises(InvalidPrompt) as refused:
        valid(graph)
    assert refused.value.kind == "prompt_outputs_failed_validation"
    return refused.value.node_errors


def test_values_are_converted_where_they_stand() -> None:
    assert prompt_to_json(valid(example()).prompt)["a"]["inputs"]["width"] == 64


def test_renumbered_nodes_are_served_from_the_cache_and_shown_again() -> None:
    cache = Cache()
    assert [type(event) for event in ran(example(), cache)].count(NodeStarted) == 2
    again = ran(example(names=("x", "y")), cache)
    assert again[0] == NodesCached(("x", "y"), ("EmptyImage", "PreviewImage"))
    assert [event for event in again if isinstance(event, NodeStarted)] == []
    (told,) = [event for event in again if isinstance(event, NodeFinished)]
    assert (told.node_id, told.cached, told.ui) == ("y", True, {"images": ["(64, 64, 1, 0)"]})
    assert isinstance(again[-1], RunSucceeded)


def test_a_value_past_its_limit_names_node_type_and_outputs() -> None:
    found = errors(example(color=0xFFFFFF + 1))
    assert found["a"]["errors"][0]["type"] == "value_bigger_than_max"
    assert found["a"]["dependent_outputs"] == ["b"]


def test_a_link_of_three_parts_is_no_link() -> None:
    assert errors(example(link=["a", 0, 0]))["b"]["errors"][0]["type"] == "bad_linked_input"


@pytest.mark.parametrize("link", [["a", -1], ["a", 1], ["a", 0.5], [5, 0], ["nobody", 0], ["a", True], ["a"]])
def test_links_that_lead_nowhere_are_refused_before_anything_runs(link: list[Any]) -> None:
    assert errors(example(link=link))["b"]["errors"][0]["type"] == "bad_linked_input"


def test_a_slot_may_be_written_as_a_real_number() -> None:
    assert valid(example(link=["a", 0.0])).outputs == ("b",)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("7", 7), (5.9, 5), (True, 1), ({"__value__": 9}, 9)],
)
def test_conversions(value: Any, wanted: int) -> None:
    graph = example()
    graph["a"]["inputs"]["height"] = value
    assert valid(graph).prompt.nodes["a"].inputs["height"] == wanted


@pytest.mark.parametrize("value", ["", None, "x", {"a": 1}, float("inf")])
def test_what_cannot_be_converted_is_told(value: Any) -> None:
    graph = example()
    graph["a"]["inputs"]["height"] = value
    assert errors(graph)["a"]["errors"][0]["type"] == "invalid_input_type"


def test_cycles_are_told_before_queueing() -> None:
    graph = {
        "a": {"class_type": "EmptyImage", "inputs": {"width": ["b", 0], "height": 1, "batch_size": 1, "color": 0}},
        "b": {"class_type": "EmptyImage", "inputs": {"width": ["a", 0], "height": 1, "batch_size": 1, "color": 0}},
        "c": {"class_type": "PreviewImage", "inputs": {"images": ["a", 0]}},
    }
    kinds = [each["type"] for said in errors(graph).values() for each in said["errors"]]
    assert "dependency_cycle" in kinds


@pytest.mark.parametrize(
    ("cache", "kept"),
    [(Cache(), 4), (Cache(latest_only=True), 2), (Cache(max_entries=3), 3), (Cache(max_entries=0), 0)],
    ids=["ram", "classic", "lru", "none"],
)
def test_ways_to_keep_results(cache: Cache, kept: int) -> None:
    ran(example(color=1), cache)
    ran(example(color=2), cache)
    assert len(cache) == kept

"""What must hold for every graph: random ones, with random caches."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.cache import Cache
from app.engine.events import NodeFinished, NodeStarted, RunSucceeded
from app.engine.run import run
from app.graph.declaration import FunctionNode
from app.graph.prompt import Link, parse_prompt

# Node i reads from two of the nodes before it, or from constants where there are none.
GRAPHS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=15)
CACHES = st.sampled_from([{}, {"max_entries": 0}, {"max_entries": 2}, {"max_bytes": 300}, {"latest_only": True}])


def prompt_of(shape: list[tuple[int, int]], constants: list[int]) -> dict[str, Any]:
    nodes: dict[str, Any] = {}
    for i, (a, b) in enumerate(shape):
        first = [f"n{a % i}", 0] if i and a % 3 else constants[i]
        second = [f"n{b % i}", 0] if i and b % 3 else 1
        nodes[f"n{i}"] = {"class_type": "Add", "inputs": {"a": first, "b": second}}
    for i in range(0, len(shape), 2):
        nodes[f"o{i}"] = {"class_type": "Show", "inputs": {"value": [f"n{i}", 0]}}
    return nodes


def expected(nodes: dict[str, Any]) -> dict[str, list[str]]:
    values: dict[str, int] = {}
    for node_id, node in nodes.items():
        if node["class_type"] == "Add":
            values[node_id] = sum(values[x[0]] if isinstance(x, list) else x for x in node["inputs"].values())
    return {i: [str(values[node["inputs"]["value"][0]])] for i, node in nodes.items() if node["class_type"] == "Show"}


def run_all(classes: dict[str, FunctionNode], cache: Cache, nodes: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What each output showed, and which nodes ran."""
    outputs = [node_id for node_id, node in nodes.items() if node["class_type"] == "Show"]
    events = list(run(parse_prompt(nodes), outputs, classes, cache, lambda site: site, lambda: False))
    assert isinstance(events[-1], RunSucceeded)
    shown = {each.node_id: each.ui["text"] for each in events if isinstance(each, NodeFinished) and each.ui}
    return shown, [each.node_id for each in events if isinstance(each, NodeStarted)]


def descendants(nodes: dict[str, Any], root: str) -> set[str]:
    below = {root}
    for node_id, node in parse_prompt(nodes).nodes.items():
        if any(isinstance(value, Link) and value.node in below for value in node.inputs.values()):
            below.add(node_id)
    return below


@settings(max_examples=60, deadline=None)
@given(shape=GRAPHS, limits=CACHES, changes=st.lists(st.integers(0, 14), max_size=3))
def test_every_cache_gives_the_same_answers(
    toys: dict[str, FunctionNode], shape: list[tuple[int, int]], limits: dict[str, Any], changes: list[int]
) -> None:
    cache = Cache(**limits)
    constants = list(range(len(shape)))
    for change in [None, *changes]:
        if change is not None:
            constants[change % len(shape)] += 100
        nodes = prompt_of(shape, constants)
        shown, ran = run_all(toys, cache, nodes)
        assert shown == expected(nodes)
        assert len(ran) == len(set(ran))


@settings(max_examples=60, deadline=None)
@given(shape=GRAPHS, changed=st.integers(0, 14))
def test_a_change_runs_only_what_is_below_it(
    toys: dict[str, FunctionNode], shape: list[tuple[int, int]], changed: int
) -> None:
    cache = Cache()
    constants = [10**i for i in range(len(shape))]
    nodes = prompt_of(shape, constants)
    run_all(toys, cache, nodes)
    assert run_all(toys, cache, nodes)[1] == []
    index = changed % len(shape)
    constants[index] = -1
    after = prompt_of(shape, constants)
    _, ran = run_all(toys, cache, after)
    assert set(ran) <= descendants(after, f"n{index}")

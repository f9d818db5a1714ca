"""What a run would do, compared with what it then does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.events import NodeFinished
from app.engine.forecast import Expected, forecast
from app.graph.prompt import parse_prompt
from nodes import flow
from tests.engine.conftest import Bench

Graph = dict[str, tuple[str, dict[str, Any]]]

LINE: Graph = {
    "a": ("Constant", {"value": 1}),
    "b": ("Add", {"a": ["a", 0], "b": 5}),
    "c": ("Show", {"value": ["b", 0]}),
}


def expected(bench: Bench, graph: Graph) -> dict[str, Expected]:
    prompt = parse_prompt({i: {"class_type": kind, "inputs": inputs} for i, (kind, inputs) in graph.items()})
    outputs = [i for i, (kind, _) in graph.items() if bench.nodes[kind].spec.output_node]
    return {each.node_id: each for each in forecast(prompt, outputs, bench.nodes, bench.cache)}


def verdicts(bench: Bench, graph: Graph) -> dict[str, str]:
    return {node_id: each.verdict for node_id, each in expected(bench, graph).items()}


def test_before_the_first_run_everything_runs_and_nothing_has_run(bench: Bench) -> None:
    assert verdicts(bench, LINE) == {"a": "run", "b": "run", "c": "run"}
    assert bench.called == []
    assert {each.reason for each in expected(bench, LINE).values()} == {"it has not run before"}


def test_a_change_runs_what_lies_below_and_says_why(bench: Bench) -> None:
    bench.run(LINE)
    assert verdicts(bench, LINE) == {"a": "cached", "b": "cached", "c": "cached"}
    changed = {**LINE, "b": ("Add", {"a": ["a", 0], "b": 6})}
    found = expected(bench, changed)
    assert {i: each.verdict for i, each in found.items()} == {"a": "cached", "b": "run", "c": "run"}
    assert found["b"].reason == "b changed from 5 to 6"
    bench.run(LINE)
    assert not bench.called, "asking has changed nothing"


def test_a_dropped_ancestor_of_a_stored_result_is_not_needed(bench: Bench) -> None:
    bench.run(LINE)
    bench.cache.drop(bench.cache.known_keys([("a", "Constant")])["a", "Constant"].key)
    assert verdicts(bench, LINE) == {"a": "not needed", "b": "cached", "c": "cached"}


def test_lazy_branches_may_run(bench: Bench) -> None:
    graph: Graph = {
        "x": ("Constant", {"value": 1}),
        "y": ("Constant", {"value": 2}),
        "p": ("Pick", {"which": {"__value__": ["a"]}, "a": ["x", 0], "b": ["y", 0]}),
        "s": ("Show", {"value": ["p", 0]}),
    }
    assert verdicts(bench, graph) == {"x": "maybe", "y": "maybe", "p": "run", "s": "run"}


def test_rounds_of_loops_are_counted(bench: Bench) -> None:
    bench.add(flow.for_begin)
    bench.add(flow.for_end)
    graph: Graph = {
        "b": ("ForBegin", {"count": 3}),
        "c": ("ForBegin", {"count": 4, "value_1": ["b", 1]}),
        "x": ("Add", {"a": ["c", 1]}),
        "inside": ("Show", {"value": ["x", 0]}),
        "d": ("ForEnd", {"loop": ["c", 0], "value_1": ["x", 0]}),
        "e": ("ForEnd", {"loop": ["b", 0], "value_1": ["d", 0]}),
        "s": ("Show", {"value": ["e", 0]}),
    }
    found = expected(bench, graph)
    assert {i: each.rounds for i, each in found.items()} == {
        "b": 1,
        "c": 3,
        "x": 12,
        "inside": 12,
        "d": 3,
        "e": 1,
        "s": 1,
    }
    assert {each.verdict for each in found.values()} == {"run"}
    graph["b"][1]["count"] = ["n", 0]
    graph["n"] = ("Constant", {"value": 2})
    assert expected(bench, graph)["x"].rounds is None


def test_only_rounds_that_have_not_run_are_expected(bench: Bench) -> None:
    bench.add(flow.for_begin)
    bench.add(flow.for_end)

    def looped(count: int, step: int = 1) -> Graph:
        return {
            "b": ("ForBegin", {"count": count, "value_1": 0}),
            "x": ("Add", {"a": ["b", 2], "b": step}),
            "e": ("ForEnd", {"loop": ["b", 0], "value_1": ["x", 0]}),
            "s": ("Show", {"value": ["e", 0]}),
        }

    def told(graph: Graph) -> tuple[str, int | None, str]:
        found = expected(bench, graph)["x"]
        return found.verdict, found.rounds, found.reason

    bench.run(looped(4))
    assert told(looped(6)) == ("run", 2, "4 rounds have run before, 2 have not")
    assert told(looped(3)) == ("cached", 1, "")
    assert told(looped(6, step=5)) == ("run", 6, "b changed from 1 to 5")
    bench.run(looped(6))
    assert bench.called.count("x") == 2, "as it was expected"
    bench.cache.clear()
    assert told(looped(6))[:2] == ("run", 6)


def test_signatures_are_those_of_the_run(bench: Bench) -> None:
    told = expected(bench, LINE)
    bench.run(LINE)
    assert {i: each.signature for i, each in told.items()} == {
        event.node_id: event.signature for event in bench.events_of(NodeFinished)
    }
    assert told["a"].to_json()["verdict"] == "run"


@pytest.mark.parametrize("kind", ["same", "NaN"])
def test_fingerprints_are_asked(bench: Bench, kind: str) -> None:
    bench.nodes["Constant"].fingerprints(lambda: 1 if kind == "same" else float("nan"))
    bench.run(LINE)
    assert verdicts(bench, LINE)["a"] == ("cached" if kind == "same" else "run")


@settings(max_examples=60, deadline=None)
@given(
    links=st.lists(st.integers(0, 30), min_size=1, max_size=8),
    changes=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3)), max_size=4),
)
def test_what_is_expected_is_what_happens(links: list[int], changes: list[tuple[int, int]]) -> None:
    """Graphs of strong links, changed step by step: what is said to run runs, or shares the run of an equal node."""
    bench = Bench()
    graph: Graph = {"n0": ("Constant", {"value": 0})}
    for i, link in enumerate(links, 1):
        graph[f"n{i}"] = ("Add", {"a": [f"n{link % i}", 0], "b": i})
    graph["s"] = ("Show", {"value": [f"n{len(links)}", 0]})
    for at, value in [(0, 0), *changes]:
        name = f"n{at % (len(links) + 1)}"
        graph[name][1]["value" if name == "n0" else "b"] = value * 100 + at
        told = {i for i, each in expected(bench, graph).items() if each.verdict == "run"}
        stored = {i for i, each in expected(bench, graph).items() if each.verdict == "cached"}
        bench.run(graph)
        assert {event.node_id for event in bench.events_of(NodeFinished) if not event.cached} <= told
        assert not stored & set(bench.called)
        assert {event.node_id for event in bench.events_of(NodeFinished)} - {"s"} <= told

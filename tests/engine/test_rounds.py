"""Loops that the engine walks: rounds, nesting, what is kept from outside, caching, interrupts, and cost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.cache import Cache
from app.engine.events import NodeBlocked, NodeFinished, NodeStarted, Progress, RunFailed, RunInterrupted, RunSucceeded
from app.engine.run import _Run, run
from app.engine.site import RunExtras
from app.graph.declaration import Hidden, Port, node
from app.graph.prompt import parse_prompt
from app.graph.returned import Returned
from nodes import flow
from tests.engine.conftest import Bench

Graph = dict[str, tuple[str, dict[str, Any]]]


@pytest.fixture
def loops(bench: Bench) -> Bench:
    for each in (flow.for_begin, flow.for_end, flow.while_begin, flow.while_end, flow.map_begin, flow.map_end):
        bench.add(each)
    bench.add(flow.if_else)
    return bench


def counted(count: int, body: Graph, result: str, **begin: Any) -> Graph:
    """A For loop around `body`, whose node `result` becomes value_1; node "show" shows what comes out."""
    return {
        "b": ("ForBegin", {"count": count, **begin}),
        **body,
        "e": ("ForEnd", {"loop": ["b", 0], "value_1": [result, 0], "collect": [result, 0]}),
        "show": ("Show", {"value": ["e", 0]}),
        "all": ("Show", {"value": ["e", 4]}),
    }


def summing(count: int, **begin: Any) -> Graph:
    return counted(count, {"x": ("Add", {"a": ["b", 2], "b": ["b", 1]})}, "x", value_1=100, **begin)


@pytest.mark.parametrize(
    ("count", "last", "every"), [(0, ["100"], []), (1, ["100"], ["100"]), (3, ["103"], ["100", "101", "103"])]
)
def test_rounds_are_counted(loops: Bench, count: int, last: list[str], every: list[str]) -> None:
    loops.run(summing(count))
    assert loops.shown().get("show") == last
    assert loops.shown().get("all", []) == every


def test_a_body_without_a_round_is_not_run(loops: Bench) -> None:
    loops.run(summing(0))
    assert "x" not in loops.called


def test_copies_are_known_by_the_id_of_their_original(loops: Bench) -> None:
    loops.run(summing(3))
    ran = [event.node_id for event in loops.events_of(NodeFinished) if not event.cached]
    assert ran.count("x") == 3
    assert set(ran) == {"b", "x", "e", "show", "all"}
    assert loops.reasons()["x"] == "round 3 of its loop"
    assert [event.node_id for event in loops.events_of(NodeStarted)].count("e") == 1


def test_progress_is_told_at_the_end_node(loops: Bench) -> None:
    loops.run(summing(3))
    assert [(e.node_id, e.value, e.maximum) for e in loops.events_of(Progress)] == [
        ("e", 1, 3),
        ("e", 2, 3),
        ("e", 3, 3),
    ]


def test_nested_loops(loops: Bench) -> None:
    graph: Graph = {
        "b": ("ForBegin", {"count": 3, "value_1": ""}),
        "c": ("ForBegin", {"count": 2, "value_1": ["b", 2]}),
        "pair": ("Pair", {"so_far": ["c", 2], "i": ["b", 1], "j": ["c", 1]}),
        "d": ("ForEnd", {"loop": ["c", 0], "value_1": ["pair", 0]}),
        "e": ("ForEnd", {"loop": ["b", 0], "value_1": ["d", 0]}),
        "show": ("Show", {"value": ["e", 0]}),
    }
    loops.add(_pair())
    loops.run(graph)
    assert loops.shown()["show"] == [" 00 01 10 11 20 21"]
    loops.run(graph)
    assert loops.called == []


def _pair() -> Any:
    @node("Pair", category="toy", id="Pair")
    def pair(*, so_far: Annotated[Any, Port("*")], i: int, j: int) -> Annotated[Any, Port("*")]:
        """Writes down both numbers."""
        return f"{so_far} {i}{j}"

    return pair


def test_outputs_in_the_body_run_in_every_round(loops: Bench) -> None:
    graph = summing(3)
    graph["inside"] = ("Show", {"value": ["x", 0]})
    loops.run(graph)
    told = [event.ui["text"] for event in loops.events_of(NodeFinished) if event.node_id == "inside"]
    assert told == [["100"], ["101"], ["103"]]
    loops.run(graph)
    told = [event.ui["text"] for event in loops.events_of(NodeFinished) if event.node_id == "inside"]
    assert told == [["100"], ["101"], ["103"]], "shown again from the cache, in order"
    assert "x" not in loops.called


def test_an_output_in_the_body_may_be_all_that_is_wanted(loops: Bench) -> None:
    graph = summing(2)
    graph["inside"] = ("Show", {"value": ["x", 0]})
    loops.run(graph, ["inside"])
    assert [event.ui["text"] for event in loops.events_of(NodeFinished) if event.ui] == [["100"], ["101"]]


def test_an_output_of_an_inner_loop_runs_in_each_round_of_both(loops: Bench) -> None:
    graph: Graph = {
        "b": ("ForBegin", {"count": 2}),
        "c": ("ForBegin", {"count": 2, "value_1": ["b", 1]}),
        "x": ("Add", {"a": ["c", 2], "b": ["c", 1]}),
        "inside": ("Show", {"value": ["x", 0]}),
        "d": ("ForEnd", {"loop": ["c", 0]}),
        "e": ("ForEnd", {"loop": ["b", 0], "value_1": ["b", 1]}),
    }
    loops.run(graph)
    assert [event.ui["text"][0] for event in loops.events_of(NodeFinished) if event.ui] == ["0", "1", "1", "2"]


def test_what_is_outside_runs_once_even_if_it_cannot_be_stored(loops: Bench, declare: Callable[..., Any]) -> None:
    numbers = itertools.count()

    @declare("Fresh")
    def fresh() -> Annotated[Any, Port("*")]:
        """Another number each time."""
        return next(numbers)

    fresh.fingerprints(lambda: float("nan"))
    graph = counted(4, {"x": ("Collect2", {"a": ["b", 1], "b": ["r", 0]})}, "x")
    graph["r"] = ("Fresh", {})
    graph["late"] = ("Show", {"value": ["r", 0]})

    @declare("Collect2")
    def both(*, a: int, b: int) -> Annotated[Any, Port("*")]:
        """Both."""
        return f"{a}:{b}"

    loops.run(graph)
    assert loops.shown()["all"] == ["0:0", "1:0", "2:0", "3:0"]
    assert loops.called.count("r") == 1


def test_results_of_rounds_are_stored(loops: Bench) -> None:
    loops.run(summing(5))
    loops.cache.drop(loops.cache._previous["e", "ForEnd"].key)
    loops.run(summing(5))
    assert "x" not in loops.called, "every round's body is served from the cache"


def test_while_asks_before_each_round(loops: Bench, declare: Callable[..., Any]) -> None:
    @declare("Below")
    def below(*, a: int, limit: int) -> bool:
        """Whether a < limit."""
        return a < limit

    graph: Graph = {
        "w": ("WhileBegin", {"condition": True, "value_1": 1}),
        "x": ("Add", {"a": ["w", 2], "b": ["w", 2]}),
        "t": ("Below", {"a": ["x", 0], "limit": 100}),
        "e": ("WhileEnd", {"loop": ["w", 0], "value_1": ["x", 0], "condition": ["t", 0]}),
        "show": ("Show", {"value": ["e", 0]}),
    }
    loops.run(graph)
    assert loops.shown()["show"] == ["128"]
    graph["w"][1]["condition"] = False
    loops.run(graph)
    assert loops.shown()["show"] == ["1"]
    graph["w"][1].update(condition=True, limit=3)
    failed = loops.run(graph)[-1]
    assert isinstance(failed, RunFailed)
    assert "has run 3 rounds" in failed.message
    assert "raise limit" in failed.remedy


def test_map_gathers_in_order_and_leaves_out_what_was_blocked(loops: Bench) -> None:
    graph: Graph = {
        "l": ("Listed", {"values": {"__value__": [3, 0, 5]}}),
        "b": ("MapBegin", {"items": ["l", 0]}),
        "if": ("ComfySwitchNode", {"switch": ["b", 1], "on_true": ["b", 1]}),
        "x": ("Add", {"a": ["if", 0], "b": 1}),
        "e": ("MapEnd", {"loop": ["b", 0], "result": ["x", 0]}),
        "show": ("Collect", {"a": ["e", 0]}),
        "out": ("Show", {"value": ["show", 0]}),
    }
    loops.run(graph)
    assert loops.shown()["out"] == ["([4, 6], None)"]
    assert not loops.events_of(NodeBlocked)
    graph["l"] = ("Listed", {"values": {"__value__": []}})
    loops.run(graph)
    assert loops.shown()["out"] == ["([], None)"]


def test_a_failure_names_its_round(loops: Bench, declare: Callable[..., Any]) -> None:
    @declare("Fussy")
    def fussy(*, a: int) -> int:
        """Fails at 2."""
        if a == 2:
            raise ValueError("not two")
        return a

    failed = loops.run(counted(5, {"x": ("Fussy", {"a": ["b", 1]})}, "x"))[-1]
    assert isinstance(failed, RunFailed)
    assert (failed.node_id, failed.message) == ("x", "not two")
    assert "round 3 of the loop that ends at node e" in failed.remedy


def test_an_interrupt_stops_inside(loops: Bench) -> None:
    prompt = parse_prompt({i: {"class_type": c, "inputs": v} for i, (c, v) in summing(1000).items()})
    calls = itertools.count()
    events = list(run(prompt, ["show"], loops.nodes, Cache(), lambda site: None, lambda: next(calls) > 100))
    assert isinstance(events[-1], RunInterrupted)
    assert events[-1].node_id in {"x", "b", "e"}
    assert len(events) < 200


def test_expansions_inside_a_body_are_separate_in_each_round(loops: Bench, declare: Callable[..., Any]) -> None:
    @declare("Grow")
    def grow(
        *, a: Annotated[Any, Port("*")], who: Annotated[Any, Hidden("UNIQUE_ID")]
    ) -> Annotated[Returned, Port("*")]:
        """Becomes another node."""
        new = f"{who}.1"
        return Returned(([new, 0],), expand={new: {"class_type": "Add", "inputs": {"a": a, "b": 10}}})

    loops.run(counted(4, {"x": ("Grow", {"a": ["b", 2]})}, "x", value_1=0))
    assert isinstance(loops.events[-1], RunSucceeded)
    assert loops.shown()["show"] == ["40"]


def test_nothing_is_kept_of_rounds_that_are_over(loops: Bench) -> None:
    prompt = parse_prompt({i: {"class_type": c, "inputs": v} for i, (c, v) in summing(200).items()})
    running = _Run(prompt, ["show"], loops.nodes, Cache(max_entries=0), lambda site: None, lambda: False, RunExtras())
    most = 0
    for _ in running.events():
        tables: list[Mapping[str, Any]] = [running.graph.prompt.nodes, running.keys, running.schedule._rank]
        most = max(most, *(len(table) for table in tables), len(running.values), len(running.rounds._around))
    assert most < 3 * len(prompt.nodes)
    assert len(running.schedule) == 0


def test_the_cost_of_a_round_does_not_grow(loops: Bench) -> None:
    """Counted in steps of the engine, not in seconds."""
    short, long = (len(loops.run(summing(count))) for count in (100, 1000))
    assert long - short == pytest.approx(9 * short, rel=0.15)


@settings(max_examples=25, deadline=None)
@given(counts=st.lists(st.integers(0, 3), min_size=1, max_size=3), start=st.integers(-5, 5), step=st.integers(-3, 3))
def test_nested_sums_are_what_python_says(counts: list[int], start: int, step: int) -> None:
    bench = Bench()
    for each in (flow.for_begin, flow.for_end):
        bench.add(each)
    graph: Graph = {}
    value: Any = 0
    for depth, count in enumerate(counts):
        graph[f"b{depth}"] = ("ForBegin", {"count": count, "start": start, "step": step, "value_1": value})
        value = [f"b{depth}", 2]
    for depth in range(len(counts)):
        graph[f"x{depth}"] = ("Add", {"a": value, "b": [f"b{depth}", 1]})
        value = [f"x{depth}", 0]
    for depth in reversed(range(len(counts))):
        graph[f"e{depth}"] = ("ForEnd", {"loop": [f"b{depth}", 0], "value_1": value})
        value = [f"e{depth}", 0]
    graph["show"] = ("Show", {"value": value})
    bench.run(graph)
    rounds = itertools.product(*(range(count) for count in counts))
    assert bench.shown()["show"] == [str(sum(start + step * i for at in rounds for i in at))]
    assert {event.maximum for event in bench.events_of(Progress)} <= set(counts)


def test_raw_links_stay_raw(loops: Bench) -> None:
    """A raw link is not looked through, in a copy either."""
    loops.run(counted(2, {"x": ("Raw", {"link": ["b", 1]})}, "x"))
    assert loops.shown()["show"] == ["['b#0.1', 1]"]

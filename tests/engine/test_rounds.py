"""Loops that the engine walks: rounds, nesting, what is kept from outside, caching, interrupts, and cost."""

from __future__ import annotations

import hashlib
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
Any_ = Annotated[Any, Port("*")]


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


class Picture:
    """A value that is no number and no text."""

    def __init__(self, strokes: int):
        self.strokes = strokes


@pytest.fixture
def painting(loops: Bench, declare: Callable[..., Any]) -> Bench:
    @declare("Paint")
    def paint(*, picture: Annotated[Any, Port("*")], index: int = 0) -> Annotated[Any, Port("*")]:
        """One stroke more."""
        return Picture(1 if picture is None else picture.strokes + 1)

    @declare("Strokes")
    def strokes(*, picture: Annotated[Any, Port("*")]) -> int:
        """How many."""
        return picture.strokes

    return loops


def painted(count: int, **begin: Any) -> Graph:
    return {
        "start": ("Paint", {"picture": None}),
        "b": ("ForBegin", {"count": count, "value_1": ["start", 0], **begin}),
        "x": ("Paint", {"picture": ["b", 2]}),
        "e": ("ForEnd", {"loop": ["b", 0], "value_1": ["x", 0]}),
        "n": ("Strokes", {"picture": ["e", 0]}),
        "show": ("Show", {"value": ["n", 0]}),
    }


@pytest.mark.parametrize("count", [3, 4, 7, 1])
def test_more_or_fewer_rounds_keep_those_that_have_been_computed(painting: Bench, count: int) -> None:
    painting.run(painted(4))
    painting.run(painted(count))
    assert painting.shown()["show"] == [str(count + 1)]
    assert painting.called.count("x") == max(0, count - 4)


def test_a_higher_limit_keeps_the_rounds_of_a_while_loop(painting: Bench, declare: Callable[..., Any]) -> None:
    @declare("Below")
    def below(*, a: int, limit: int) -> bool:
        """Whether a < limit."""
        return a < limit

    graph = painted(0)
    graph["b"] = ("WhileBegin", {"condition": True, "limit": 5, "value_1": ["start", 0]})
    graph["size"] = ("Strokes", {"picture": ["x", 0]})
    graph["t"] = ("Below", {"a": ["size", 0], "limit": 9})
    graph["e"] = ("WhileEnd", {"loop": ["b", 0], "value_1": ["x", 0], "condition": ["t", 0]})
    assert isinstance(painting.run(graph)[-1], RunFailed)
    graph["b"][1]["limit"] = 50
    painting.run(graph)
    assert painting.shown()["show"] == ["9"]
    assert painting.called.count("x") == 8 - 5


def test_another_start_keeps_the_rounds_with_the_same_numbers(loops: Bench) -> None:
    loops.run(counted(5, {"x": ("Add", {"a": ["b", 1]})}, "x", start=0))
    loops.run(counted(5, {"x": ("Add", {"a": ["b", 1]})}, "x", start=3))
    assert loops.shown()["all"] == ["3", "4", "5", "6", "7"]
    assert loops.called.count("x") == 3


def test_a_longer_list_maps_its_new_items_only(loops: Bench) -> None:
    def mapped(*items: Any) -> Graph:
        return {
            "l": ("Listed", {"values": {"__value__": list(items)}}),
            "b": ("MapBegin", {"items": ["l", 0]}),
            "x": ("Collect", {"a": ["b", 1]}),
            "e": ("MapEnd", {"loop": ["b", 0], "result": ["x", 0]}),
            "show": ("Show", {"value": ["e", 0]}),
        }

    loops.run(mapped("a", 1, None))
    loops.run(mapped(1.0, "a", 1, None, True, "a", "1"))
    assert loops.events_of(NodeFinished)[-1].ui is not None
    assert loops.shown()["show"] == [f"([{each!r}], None)" for each in (1.0, "a", 1, None, True, "a", "1")]
    assert loops.called.count("x") == 3, "1.0, True and '1' are none of the items before"


def test_a_change_of_the_first_value_runs_the_rounds_that_read_it(painting: Bench) -> None:
    painting.run(painted(3))
    painting.run(painted(3, value_2=7))
    assert painting.called.count("x") == 3, "a picture is known by all that its begin was given"
    painting.run({**painted(3), "start": ("Paint", {"picture": None, "index": 1})})
    assert painting.called.count("x") == 3


def test_rounds_of_an_inner_loop_are_kept(painting: Bench) -> None:
    def nested(outer: int, inner: int) -> Graph:
        return {
            **painted(outer),
            "b2": ("ForBegin", {"count": inner, "value_1": ["b", 2]}),
            "x": ("Paint", {"picture": ["b2", 2]}),
            "e2": ("ForEnd", {"loop": ["b2", 0], "value_1": ["x", 0]}),
            "e": ("ForEnd", {"loop": ["b", 0], "value_1": ["e2", 0]}),
        }

    painting.run(nested(2, 3))
    assert (painting.shown()["show"], painting.called.count("x")) == (["7"], 6)
    painting.run(nested(3, 3))
    assert (painting.shown()["show"], painting.called.count("x")) == (["10"], 3)
    painting.run(nested(2, 5))
    # The first two strokes more follow on stored ones, the second round begins from another picture.
    assert (painting.shown()["show"], painting.called.count("x")) == (["11"], 2 + 5)


def test_the_reason_of_a_first_round_compares_what_was_submitted(loops: Bench) -> None:
    loops.run(summing(3, step=1))
    loops.run(summing(3, step=2))
    told = [event.reason for event in loops.events_of(NodeFinished) if event.node_id == "b"]
    assert told == ["step changed from 1 to 2", *(f"round {number} of its loop" for number in (2, 3, 4))]


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


def test_a_loop_over_something_from_outside_runs_in_every_round(loops: Bench) -> None:
    graph: Graph = {
        "l": ("Listed", {"values": {"__value__": [10, 20]}}),
        "m": ("MapBegin", {"items": ["l", 0]}),
        "aside": ("Add", {"a": ["m", 1], "b": 1}),
        "y": ("Add", {"a": ["aside", 0], "b": ["b", 1]}),
        "n": ("MapEnd", {"loop": ["m", 0], "result": ["y", 0]}),
        "z": ("Collect", {"a": ["n", 0]}),
    }
    loops.run(counted(3, graph, "z"))
    assert loops.shown()["all"] == ["([11, 21], None)", "([12, 22], None)", "([13, 23], None)"]
    assert loops.called.count("aside") == 2, "what does not depend on the round is stored"


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


def looping(who: str, count: Any, result: str = "e") -> Returned:
    return Returned(
        ([f"{who}.{result}", 0],),
        expand={
            f"{who}.b": {"class_type": "ForBegin", "inputs": {"count": count, "value_1": 0}},
            f"{who}.x": {"class_type": "Add", "inputs": {"a": [f"{who}.b", 2], "b": [f"{who}.b", 1]}},
            f"{who}.p": {"class_type": "Show", "inputs": {"value": [f"{who}.x", 0]}},
            f"{who}.e": {"class_type": "ForEnd", "inputs": {"loop": [f"{who}.b", 0], "value_1": [f"{who}.x", 0]}},
        },
    )


def test_an_expansion_may_hold_loops(loops: Bench, declare: Callable[..., Any]) -> None:
    @declare("Loopy")
    def loopy(
        *, n: Annotated[Any, Port("*")], who: Annotated[Any, Hidden("UNIQUE_ID")]
    ) -> Annotated[Returned, Port("*")]:
        """Becomes a loop."""
        return looping(who, n)

    loops.run({"l": ("Loopy", {"n": 5}), "show": ("Show", {"value": ["l", 0]})})
    assert loops.shown()["show"] == ["10"]
    assert [event.ui["text"] for event in loops.events_of(NodeFinished) if event.node_id == "l.p"] == [
        ["0"],
        ["1"],
        ["3"],
        ["6"],
        ["10"],
    ]
    loops.run(counted(4, {"x": ("Loopy", {"n": ["b", 1]})}, "x"))
    assert loops.shown()["all"] == ["0", "0", "1", "3"]


def test_an_expansion_hands_out_values_through_the_end_of_its_loop(loops: Bench, declare: Callable[..., Any]) -> None:
    @declare("Leaky")
    def leaky(*, who: Annotated[Any, Hidden("UNIQUE_ID")]) -> Annotated[Returned, Port("*")]:
        """Gives what is inside a loop."""
        return looping(who, 2, "x")

    failed = loops.run({"l": ("Leaky", {}), "show": ("Show", {"value": ["l", 0]})})[-1]
    assert isinstance(failed, RunFailed)
    assert "expanded to loops that cannot run" in failed.message
    assert "through the ends" in failed.remedy


def test_nothing_is_kept_of_rounds_that_are_over(loops: Bench) -> None:
    prompt = parse_prompt({i: {"class_type": c, "inputs": v} for i, (c, v) in summing(200).items()})
    running = _Run(prompt, ["show"], loops.nodes, Cache(max_entries=0), lambda site: None, lambda: False, RunExtras())
    most = 0
    for _ in running.events():
        tables: list[Mapping[str, Any]] = [running.graph.prompt.nodes, running.keys.keys, running.schedule._rank]
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


LOOPS = st.fixed_dictionaries(
    {
        "outer": st.integers(0, 3),
        "inner": st.integers(0, 3),
        "start": st.integers(-1, 1),
        "first": st.sampled_from([0, 1, 0.5, "1", None]),
        "added": st.sampled_from([1, 2]),
        "listed": st.lists(st.sampled_from([0, 1, "1", 0.5, None]), max_size=3),
    }
)


def woven(asked: Mapping[str, Any]) -> Graph:
    """A loop in a loop whose body also maps over a list, and shows what it makes; values are told with their types."""
    return {
        "b": ("ForBegin", {"count": asked["outer"], "start": asked["start"], "value_1": asked["first"]}),
        "c": ("ForBegin", {"count": asked["inner"], "value_1": ["b", 2], "value_2": ["b", 1]}),
        "x": ("Told", {"a": ["c", 2], "b": ["c", 1], "c": ["c", 3], "d": asked["added"]}),
        "d": ("ForEnd", {"loop": ["c", 0], "value_1": ["x", 0]}),
        "l": ("Listed", {"values": {"__value__": asked["listed"]}}),
        "m": ("MapBegin", {"items": ["l", 0]}),
        "y": ("Told", {"a": ["m", 1], "b": ["d", 0], "c": 0, "d": 0}),
        "shown": ("Show", {"value": ["y", 0]}),
        "n": ("MapEnd", {"loop": ["m", 0], "result": ["y", 0]}),
        "z": ("Collect", {"a": ["n", 0], "b": ["d", 0]}),
        "e": ("ForEnd", {"loop": ["b", 0], "value_1": ["z", 0], "collect": ["d", 0]}),
        "all": ("Collect", {"a": ["e", 0], "b": ["e", 4]}),
        "show": ("Show", {"value": ["all", 0]}),
    }


def weaving() -> Bench:
    bench = Bench()
    for each in (flow.for_begin, flow.for_end, flow.map_begin, flow.map_end):
        bench.add(each)

    @node("Told", category="toy", id="Told")
    def told(*, a: Any_ = None, b: Any_ = None, c: Any_ = None, d: Any_ = None) -> Any_:
        """What it is given, with types, in a text that stays short."""
        return hash_of(repr((a, b, c, d)))

    bench.add(told)
    return bench


@settings(max_examples=15, deadline=None)
@given(st.lists(LOOPS, min_size=2, max_size=4))
def test_what_is_stored_never_changes_what_loops_give(asked: list[dict[str, Any]]) -> None:
    kept = weaving()
    for each in asked:
        alone = weaving()
        graph = woven(each)
        kept.run(graph)
        alone.run(graph)
        assert isinstance(alone.events[-1], RunSucceeded), alone.events[-1]
        assert all_shown(kept) == all_shown(alone)


def all_shown(bench: Bench) -> list[tuple[str, Any]]:
    """What each node showed, in the order of rounds; outputs that are stored are shown before those in loops."""
    shown = [(event.node_id, dict(event.ui)) for event in bench.events_of(NodeFinished) if event.ui]
    return sorted(shown, key=lambda each: each[0])


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]

"""Nodes that put a graph in their place while the prompt runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest

from app.engine.cache import Cache
from app.engine.events import NodeFinished, NodeStarted, RunFailed, RunSucceeded
from app.engine.site import RunExtras
from app.graph.declaration import Hidden, Options, Port, Range
from app.graph.prompt import Link
from app.graph.replacements import Replacement, by_old_class
from app.graph.returned import Returned

Anything = Annotated[Any, Port("*")]
One = Annotated[Returned, Port("*")]
Id = Annotated[Any, Hidden("UNIQUE_ID")]


def made(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


@pytest.fixture
def twice(declare: Callable[..., Any]) -> None:
    @declare("Twice")
    def expanding(*, value: Anything, who: Id) -> One:
        """Adds its value to itself, by an Add of its own."""
        graph = {f"{who}.0.0.1": made("Add", a=value, b=value)}
        return Returned(([f"{who}.0.0.1", 0],), {}, graph)


@pytest.mark.usefixtures("twice")
def test_the_graph_runs_in_the_place_of_its_node(bench: Any) -> None:
    bench.run(
        {"a": ("Constant", {"value": 4}), "t": ("Twice", {"value": ["a", 0]}), "c": ("Show", {"value": ["t", 0]})}
    )
    assert bench.shown() == {"c": ["8"]}
    assert [(event.node_id, event.display_id) for event in bench.events_of(NodeStarted)] == [
        ("a", "a"),
        ("t", "t"),
        ("t.0.0.1", "t"),
        ("c", "c"),
    ]
    assert [event.node_id for event in bench.events_of(NodeFinished)] == ["a", "t.0.0.1", "t", "c"]


def test_an_expansion_to_a_class_of_before_runs_what_stands_in_for_it(bench: Any, declare: Callable[..., Any]) -> None:
    @declare("ToOld")
    def expanding(*, value: Anything, who: Id) -> One:
        """Asks for a class that has another name by now."""
        return Returned(([f"{who}.1", 0],), {}, {f"{who}.1": made("Plus", one=value, other=3)})

    mapping = ({"new_id": "a", "old_id": "one"}, {"new_id": "b", "old_id": "other"})
    plus = Replacement("Plus", "Add", input_mapping=mapping)
    graph = {"x": ("ToOld", {"value": 4}), "show": ("Show", {"value": ["x", 0]})}
    assert "there is no such node" in bench.run(graph)[-1].message
    bench.extra = RunExtras(replacements=lambda: by_old_class([plus]))
    bench.run(graph)
    assert bench.shown()["show"] == ["7"]


@pytest.mark.usefixtures("twice")
def test_an_expansion_is_stored_like_any_other_result(bench: Any) -> None:
    nodes = {"a": ("Constant", {"value": 4}), "t": ("Twice", {"value": ["a", 0]}), "c": ("Show", {"value": ["t", 0]})}
    bench.run(nodes)
    bench.run(nodes)
    assert bench.called == []
    bench.run({**nodes, "c": ("Collect", {"a": ["t", 0]}), "o": ("Show", {"value": ["c", 0]})})
    assert bench.called == ["c", "o"]


@pytest.mark.usefixtures("twice")
def test_expansions_may_expand_again(bench: Any, declare: Callable[..., Any]) -> None:
    @declare("Loop")
    def loop(*, count: Anything, value: Anything, who: Id) -> One:
        """Doubles its value `count` times, each round in a node of its own."""
        if count == 0:
            return Returned((value,))
        graph = {
            f"{who}.d": made("Twice", value=value),
            f"{who}.l": made("Loop", count=count - 1, value=[f"{who}.d", 0]),
        }
        return Returned(([f"{who}.l", 0],), {}, graph)

    bench.run({"l": ("Loop", {"count": 10, "value": 1}), "c": ("Show", {"value": ["l", 0]})})
    assert bench.shown() == {"c": ["1024"]}
    assert {event.display_id for event in bench.events_of(NodeStarted)} == {"l", "c"}


def test_five_hundred_rounds_cost_no_stack(bench: Any, declare: Callable[..., Any]) -> None:
    @declare("Count")
    def count(*, left: Anything, who: Id) -> One:
        """Counts down."""
        if left == 0:
            return Returned(("done",))
        inner = f"{who[:1]}{left}"
        return Returned(([inner, 0],), {}, {inner: made("Count", left=left - 1)})

    bench.run({"x": ("Count", {"left": 500}), "c": ("Show", {"value": ["x", 0]})})
    assert bench.shown() == {"c": ["done"]}


def test_a_loop_reads_the_graph_through_raw_links(bench: Any, declare: Callable[..., Any]) -> None:
    @declare("Again")
    def again(*, link: Annotated[Anything, Options(rawLink=True)], who: Id) -> One:
        """Adds one to whatever the link gives, by linking to it from the new node."""
        return Returned((Link(f"{who}.1", 0),), {}, {f"{who}.1": made("Add", a=link, b=1)})

    bench.cache = Cache(max_entries=0)
    bench.run({"a": ("Constant", {"value": 4}), "t": ("Again", {"link": ["a", 0]}), "c": ("Show", {"value": ["t", 0]})})
    assert bench.shown() == {"c": ["5"]}
    assert bench.called.count("a") == 1


def test_plain_values_and_links_may_be_mixed(bench: Any, declare: Callable[..., Any]) -> None:
    @declare("Mixed")
    def mixed(*, who: Id) -> Annotated[Returned, Port("*"), Port("*", is_list=True), Port("*")]:
        """Gives a value, a list from inside, and a list that is no link."""
        graph = {f"{who}.1": made("Listed", values={"__value__": [1, 2]})}
        return Returned((5, [f"{who}.1", 0], ["x", "y", "z"]), {}, graph)

    bench.run(
        {
            "m": ("Mixed", {}),
            "k": ("Collect", {"a": ["m", 0], "b": ["m", 1]}),
            "c": ("Show", {"value": ["k", 0]}),
            "d": ("Show", {"value": ["m", 2]}),
        }
    )
    assert bench.shown() == {"c": ["([5], [1, 2])"], "d": ["['x', 'y', 'z']"]}


def test_each_call_of_a_list_may_expand(bench: Any, declare: Callable[..., Any]) -> None:
    @declare("Each")
    def each(*, value: Anything, who: Id) -> One:
        """Expands once for each value."""
        return Returned(([f"{who}.{value}", 0],), {}, {f"{who}.{value}": made("Add", a=value, b=100)})

    bench.run(
        {
            "l": ("Listed", {"values": {"__value__": [1, 2]}}),
            "e": ("Each", {"value": ["l", 0]}),
            "c": ("Show", {"value": ["e", 0]}),
        }
    )
    assert bench.shown() == {"c": ["101", "102"]}


def test_outputs_inside_run_even_if_nobody_reads_them(bench: Any, declare: Callable[..., Any]) -> None:
    @declare("Side")
    def side(*, who: Id) -> One:
        """Shows something aside."""
        return Returned((1,), {}, {f"{who}.s": {**made("Show", value="aside"), "override_display_id": "elsewhere"}})

    bench.run({"s": ("Side", {}), "c": ("Show", {"value": ["s", 0]})})
    assert bench.shown() == {"s.s": ["aside"], "c": ["1"]}
    shown = {event.node_id: event.display_id for event in bench.events_of(NodeFinished)}
    assert shown["s.s"] == "elsewhere"


def test_values_that_are_no_json_pass_into_the_new_graph(bench: Any, declare: Callable[..., Any]) -> None:
    marker = object()

    @declare("Wrap")
    def wrap(*, who: Id) -> One:
        """Hands objects and lists to its graph."""
        conditioning = [[marker, {"pooled": marker}]]
        return Returned(([f"{who}.1", 0],), {}, {f"{who}.1": made("Collect", a=marker, b=conditioning)})

    bench.run({"w": ("Wrap", {}), "c": ("Show", {"value": ["w", 0]})})
    assert bench.shown()["c"] == [str(([marker], [[[marker, {"pooled": marker}]]]))]


@pytest.mark.parametrize(
    ("graph", "part"),
    [
        ({"a": made("Add", a=1)}, "the id a, which is taken"),
        ({"n": made("Unheard")}, "there is no such node"),
        ({"n": made("Add", a=["nobody", 0])}, "there is no node 'nobody'"),
        ({"n": made("Add", a=["n", 0])}, "cycle detected"),
        ({"n": made("Add", a=["x", 0])}, "cycle detected"),
        ({"n": {"inputs": {}}}, "missing the class_type"),
        ({"other": made("Add", a=1)}, "There is no node n"),
        ({"n": made("Add", a=["a", 7])}, "has 1 outputs and no slot 7"),
        ({"n": made("Add", a=["a", -1])}, "Bad linked input"),
        ({"n": made("Limited", n=11)}, "bigger than max of 10"),
        ({"n": made("Limited", n="x")}, "Failed to convert"),
        ({"n": made("Limited")}, "Required input is missing: n"),
        ({"n": made("Limited", n=["t", 0]), "t": made("Worded")}, "mismatch"),
    ],
)
def test_bad_expansions_fail_with_a_message(bench: Any, declare: Callable[..., Any], graph: Any, part: str) -> None:
    @declare("Expand")
    def expand(*, value: Anything) -> One:
        """Expands to what the test says."""
        return Returned((["n", 0],), {}, graph)

    @declare("Limited")
    def limited(*, n: Annotated[int, Range(0, 10)]) -> One:
        """Takes a number."""
        return Returned((n,))

    @declare("Worded")
    def worded() -> str:
        """Gives a text."""
        return "x"

    bench.run(
        {"a": ("Constant", {"value": 1}), "x": ("Expand", {"value": ["a", 0]}), "c": ("Show", {"value": ["x", 0]})}
    )
    (failed,) = bench.events_of(RunFailed)
    assert part in failed.message
    assert failed.remedy


def test_a_failure_inside_is_blamed_on_the_submitted_node(bench: Any, declare: Callable[..., Any]) -> None:
    @declare("Outer")
    def outer(*, who: Id) -> One:
        """Expands to what fails."""
        return Returned(([f"{who}.f", 0],), {}, {f"{who}.f": made("Fail", value=5)})

    bench.run({"o": ("Outer", {}), "c": ("Show", {"value": ["o", 0]})})
    (failed,) = bench.events_of(RunFailed)
    assert (failed.node_id, failed.class_type, failed.message) == ("o", "Outer", "toy failure")
    assert failed.current_inputs == {"value": [5]}


@pytest.mark.usefixtures("twice")
def test_children_are_found_again_when_their_parent_runs_again(bench: Any) -> None:
    versions = iter([1, 2])
    bench.nodes["Twice"].fingerprints(lambda: next(versions))
    nodes = {"t": ("Twice", {"value": 3}), "c": ("Show", {"value": ["t", 0]})}
    bench.run(nodes)
    bench.run(nodes)
    assert bench.called == ["t", "c"]
    assert isinstance(bench.events[-1], RunSucceeded)


def test_an_expansion_may_need_a_submitted_node_that_nobody_else_does(bench: Any, declare: Callable[..., Any]) -> None:
    @declare("Reach")
    def reach(*, direct: Anything, who: Id) -> One:
        """Reads a node that it is not linked to, from its graph or directly."""
        link = ["b", 0] if direct else [f"{who}.1", 0]
        return Returned((link,), {}, {f"{who}.1": made("Add", a=["b", 0], b=1)})

    nodes = {"a": ("Constant", {"value": 1}), "b": ("Add", {"a": ["a", 0], "b": 10})}
    bench.run({**nodes, "r": ("Reach", {"direct": False}), "c": ("Show", {"value": ["r", 0]})}, outputs=["c"])
    assert bench.shown() == {"c": ["12"]}
    bench.run({**nodes, "r": ("Reach", {"direct": True}), "c": ("Show", {"value": ["r", 0]})}, outputs=["c"])
    assert bench.shown() == {"c": ["11"]}


def test_values_of_an_expansion_are_converted(bench: Any, declare: Callable[..., Any]) -> None:
    @declare("Sized")
    def sized(*, n: int) -> One:
        """Says what it was given."""
        return Returned((repr(n),))

    @declare("Expand")
    def expand() -> One:
        """Hands on a number as text."""
        return Returned((["n", 0],), {}, {"n": made("Sized", n="7")})

    bench.run({"x": ("Expand", {}), "c": ("Show", {"value": ["x", 0]})})
    assert bench.shown() == {"c": ["7"]}


def test_an_output_counted_backwards_is_refused(bench: Any, declare: Callable[..., Any]) -> None:
    @declare("Expand")
    def expand() -> One:
        """Gives an output that there is none of."""
        return Returned((["n", -1],), {}, {"n": made("Constant", value=1)})

    bench.run({"x": ("Expand", {}), "c": ("Show", {"value": ["x", 0]})})
    (failed,) = bench.events_of(RunFailed)
    assert "output -1 of node n" in failed.message


def test_an_output_that_was_not_given_fails_at_its_reader_only(bench: Any, declare: Callable[..., Any]) -> None:
    @declare("Half")
    def half() -> Annotated[Returned, Port("*"), Port("*")]:
        """Gives one of two outputs."""
        return Returned((1,))

    bench.run({"h": ("Half", {}), "c": ("Show", {"value": ["h", 0]})})
    assert bench.shown() == {"c": ["1"]}
    bench.run({"h": ("Half", {}), "c": ("Show", {"value": ["h", 1]})})
    (failed,) = bench.events_of(RunFailed)
    assert failed.node_id == "c"
    assert failed.message == "Node h gave no value for its output 1."

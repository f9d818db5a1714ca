"""Which nodes a loop holds, and what is wrong with loops that cannot run."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import InvalidPrompt
from app.graph.loops import LoopPlan, loop_link, plan_loops
from app.graph.prompt import Link, Prompt, parse_prompt
from app.graph.spec import InputSpec, NodeSpec, OutputSpec
from app.graph.validate import validate

ANY = OutputSpec("any", "*")
SPECS = {
    spec.id: spec
    for spec in (
        NodeSpec("Begin", (InputSpec("a", "*", "optional"),), (OutputSpec("loop", "LOOP"), ANY), loop="begin"),
        NodeSpec("End", (InputSpec("loop", "LOOP"), InputSpec("a", "*", "optional")), (ANY,), loop="end"),
        NodeSpec("Pass", (InputSpec("a", "*", "optional"), InputSpec("b", "*", "optional")), (ANY,)),
        NodeSpec("Show", (InputSpec("a", "*"), InputSpec("b", "*", "optional")), (ANY,), output_node=True),
    )
}


def graph(**nodes: tuple[Any, ...]) -> Prompt:
    """`name=("Class", "parent", "other parent")`; an end's first parent is its begin; "x.1" is output 1 of x."""
    data: dict[str, Any] = {}
    for name, (kind, *parents) in nodes.items():
        ports = [port.name for port in SPECS[kind].inputs]
        links = [[text.partition(".")[0], int(text.partition(".")[2] or 0)] for text in parents]
        data[name] = {"class_type": kind, "inputs": dict(zip(ports, links, strict=False))}
    return parse_prompt(data)


def plan(prompt: Prompt, *outputs: str) -> LoopPlan:
    return plan_loops(prompt.nodes, lambda node_id: SPECS[prompt.nodes[node_id].class_type], outputs)


def test_a_graph_without_loops_has_none() -> None:
    assert plan(graph(p=("Pass",), s=("Show", "p")), "s") == LoopPlan(roots=("s",))


def test_the_body_is_what_descends_from_the_begin_and_not_from_the_end() -> None:
    prompt = graph(
        o=("Pass",), b=("Begin", "o"), x=("Pass", "b.1", "o"), y=("Pass", "x"), e=("End", "b", "y"), s=("Show", "e")
    )
    found = plan(prompt, "s")
    (loop,) = found.loops
    assert (loop.begin, loop.end, loop.body, loop.roots, loop.inner) == ("b", "e", ("x", "y"), (), ())
    assert found.inside == {"x": "e", "y": "e"}
    assert found.roots == ("s",)


def test_outputs_in_a_body_are_run_by_the_loop() -> None:
    prompt = graph(b=("Begin",), x=("Pass", "b.1"), s=("Show", "x"), e=("End", "b", "x"))
    found = plan(prompt, "s")
    assert found.loops[0].roots == ("s",)
    assert found.roots == ("e",)


def test_loops_nest() -> None:
    prompt = graph(
        b=("Begin",),
        c=("Begin", "b.1"),
        x=("Pass", "c.1"),
        d=("End", "c", "x"),
        e=("End", "b", "d"),
        s=("Show", "e"),
    )
    (outer,) = plan(prompt, "s").loops
    assert set(outer.body) == {"c", "x", "d"}
    (inner,) = outer.inner
    assert (inner.begin, inner.body, inner.end) == ("c", ("x",), "d")


def test_two_loops_one_after_the_other_do_not_nest() -> None:
    prompt = graph(b=("Begin",), e=("End", "b", "b.1"), c=("Begin", "e"), d=("End", "c", "c.1"), s=("Show", "d"))
    assert [(loop.end, loop.inner) for loop in plan(prompt, "s").loops] == [("e", ()), ("d", ())]


def test_the_link_to_the_begin() -> None:
    prompt = graph(b=("Begin",), e=("End", "b"))
    assert loop_link(prompt.nodes["e"], SPECS["End"]) == Link("b", 0)
    assert loop_link(prompt.nodes["b"], SPECS["Begin"]) is None


@pytest.mark.parametrize(
    ("prompt", "kind", "blamed"),
    [
        (graph(b=("Begin",), s=("Show", "b.1")), "loop_start_without_end", "b"),
        (graph(p=("Pass",), e=("End", "p"), s=("Show", "e")), "loop_end_without_start", "e"),
        (
            graph(b=("Begin",), d=("End", "b"), e=("End", "b"), s=("Show", "d", "e")),
            "ambiguous_loop_nesting",
            "b",
        ),
        (
            graph(b=("Begin",), x=("Pass", "b.1"), e=("End", "b", "x"), s=("Show", "x", "e")),
            "loop_escape",
            "s",
        ),
        (
            graph(
                b=("Begin",),
                c=("Begin", "b.1"),
                x=("Pass", "c.1"),
                e=("End", "b", "x"),
                d=("End", "c"),
                s=("Show", "e"),
                t=("Show", "d"),
            ),
            "ambiguous_loop_nesting",
            "c",
        ),
    ],
)
def test_what_is_wrong_is_told_with_the_way_out(prompt: Prompt, kind: str, blamed: str) -> None:
    with pytest.raises(InvalidPrompt) as refused:
        validate(prompt, SPECS, {})
    errors: Any = refused.value.node_errors
    found = [each for each in errors[blamed]["errors"] if each["type"] == "custom_validation_failed"]
    assert found[0]["extra_info"]["loop_error_type"] == kind
    assert found[0]["extra_info"]["input_name"] == "loop boundary"
    assert found[0]["extra_info"]["remedy"]
    assert found[0]["details"].startswith("loop boundary - ")


def test_a_good_output_beside_a_broken_loop_still_runs() -> None:
    prompt = graph(b=("Begin",), s=("Show", "b.1"), p=("Pass",), t=("Show", "p"))
    checked = validate(prompt, SPECS, {})
    assert checked.outputs == ("t",)
    assert checked.node_errors["b"]["dependent_outputs"] == ["s"]


def test_a_fault_behind_an_output_in_the_body_stops_it() -> None:
    prompt = graph(b=("Begin",), s=("Show", "b.1"), p=("Pass",), e=("End", "b", "p.7"), t=("Show", "p"))
    checked = validate(prompt, SPECS, {})
    assert checked.outputs == ("t",)
    assert checked.node_errors["e"]["dependent_outputs"] == ["s"]

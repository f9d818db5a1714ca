from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.graph.fingerprint import (
    CHANGED,
    UNEQUAL,
    NodeKey,
    change,
    changed_inputs,
    node_key,
    node_keys,
    token,
    traits_of,
    with_values,
)
from app.graph.order import ancestors
from app.graph.prompt import Prompt, parse_prompt
from app.graph.spec import InputSpec, NodeSpec, OutputSpec

OUT = (OutputSpec("OUT", "*"),)
SPECS = {
    "A": NodeSpec("A", (InputSpec("x", "*"), InputSpec("y", "*")), OUT),
    "B": NodeSpec("B", (InputSpec("x", "*"),), OUT),
    "Own": NodeSpec("Own", (InputSpec("x", "*"),), OUT, not_idempotent=True),
    "Named": NodeSpec("Named", (InputSpec("x", "*"),), OUT, hidden={"me": "UNIQUE_ID"}),
    "Open": NodeSpec("Open", (), OUT, accepts_any_input=True),
}
LITERALS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=4)


def prompt_of(**nodes: tuple[str, dict[str, Any]]) -> Prompt:
    return parse_prompt({i: {"class_type": kind, "inputs": inputs} for i, (kind, inputs) in nodes.items()})


def keys(changed: dict[str, Any] | None = None, /, **nodes: tuple[str, dict[str, Any]]) -> dict[str, NodeKey]:
    prompt = prompt_of(**nodes)
    return node_keys(prompt, ancestors(prompt, list(prompt.nodes)).order, SPECS, changed or {})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (0, -0.0),
        (1e300, int(1e300)),
        ([1, 2], (1.0, 2)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (b"x", b"x"),
        (math.inf, math.inf),
    ],
)
def test_equal_values_have_one_token(one: object, other: object) -> None:
    assert token(one) == token(other) != UNEQUAL


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, "1"),
        (1, 2),
        (0.1, 0.2),
        (None, ""),
        (None, "none"),
        (False, None),
        ([], {}),
        (["a", "b"], ["ab"]),
        (["a,b"], ["a", "b"]),
        ({"a": "b"}, {"a=b": ""}),
        ("x" * 1000, "x" * 1001),
        (b"x", "x"),
        (10**400, 10**400 + 1),
    ],
)
def test_other_values_have_another(one: object, other: object) -> None:
    assert token(one) != token(other)


@pytest.mark.parametrize("value", [math.nan, [math.nan], {"a": math.nan}, object(), {"a": object()}, {1, 2}])
def test_what_cannot_be_compared_is_unequal(value: object) -> None:
    assert token(value) == UNEQUAL


def test_endless_data_is_unequal_and_does_not_exhaust_the_stack() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert token(endless) == UNEQUAL


@given(LITERALS, LITERALS)
def test_tokens_agree_with_equality(one: Any, other: Any) -> None:
    same = token(one) == token(other) and UNEQUAL not in (token(one), token(other))
    assert same == (one == other)


def test_ids_order_and_titles_do_not_count() -> None:
    first = keys(a=("B", {"x": 1}), b=("A", {"x": ["a", 0], "y": 2}))
    second = keys(z=("A", {"y": 2, "x": ["q", 0]}), q=("B", {"x": 1.0}))
    assert first["a"].key == second["q"].key
    assert first["b"].key == second["z"].key


@pytest.mark.parametrize(
    "inputs",
    [{"x": ["a", 1], "y": 2}, {"x": ["a", 0], "y": 3}, {"x": 2, "y": ["a", 0]}, {"x": ["a", 0]}, {}],
)
def test_any_difference_in_inputs_counts(inputs: dict[str, Any]) -> None:
    base = keys(a=("B", {"x": 1}), b=("A", {"x": ["a", 0], "y": 2}))
    assert keys(a=("B", {"x": 1}), b=("A", inputs))["b"].key != base["b"].key


def test_class_and_ancestors_count() -> None:
    base = keys(a=("B", {"x": 1}), b=("B", {"x": ["a", 0]}), c=("B", {"x": ["b", 0]}))
    other = keys(a=("B", {"x": 2}), b=("B", {"x": ["a", 0]}), c=("B", {"x": ["b", 0]}))
    assert base["c"].key != other["c"].key
    assert keys(a=("A", {"x": 1}))["a"].key != keys(a=("B", {"x": 1}))["a"].key


def test_undeclared_inputs_count_only_where_they_are_passed() -> None:
    assert keys(a=("B", {"x": 1, "more": 1}))["a"].key == keys(a=("B", {"x": 1}))["a"].key
    assert keys(a=("Open", {"more": 1}))["a"].key != keys(a=("Open", {"more": 2}))["a"].key


@pytest.mark.parametrize("kind", ["Own", "Named"])
def test_nodes_with_an_identity_share_nothing(kind: str) -> None:
    found = keys(a=(kind, {"x": 1}), b=(kind, {"x": 1}))
    assert found["a"].key != found["b"].key
    assert keys(a=(kind, {"x": 1}))["a"].key == found["a"].key


def test_equal_nodes_share_a_key() -> None:
    found = keys(a=("B", {"x": 1}), b=("B", {"x": 1}))
    assert found["a"].key == found["b"].key


def test_a_fingerprint_of_the_class_counts() -> None:
    nodes = {"a": ("B", {"x": 1})}
    assert keys({"a": "hash1"}, **nodes)["a"].key == keys({"a": "hash1"}, **nodes)["a"].key
    assert keys({"a": "hash1"}, **nodes)["a"].key != keys({"a": "hash2"}, **nodes)["a"].key


def test_nan_makes_a_node_and_its_children_new_every_time() -> None:
    nodes = {"a": ("B", {"x": 1}), "b": ("B", {"x": ["a", 0]}), "aside": ("B", {"x": 5})}
    first, second = keys({"a": math.nan}, **nodes), keys({"a": math.nan}, **nodes)
    assert first["b"].key != second["b"].key
    assert not first["a"].repeatable
    assert not first["b"].repeatable
    assert first["aside"].repeatable
    assert first["aside"].key == second["aside"].key


def test_a_list_is_not_taken_for_a_link() -> None:
    linked = keys(a=("B", {"x": 1}), b=("B", {"x": ["a", 0]}))
    literal = keys(a=("B", {"x": 1}), b=("B", {"x": {"__value__": ["a", 0]}}))
    assert linked["b"].key != literal["b"].key


def told(before: dict[str, Any], after: dict[str, Any]) -> str:
    one = keys(a=("B", {"x": 1}), b=("A", before))["b"]
    other = keys(a=("B", {"x": after.get("up", 1)}), b=("A", after))["b"]
    return "; ".join(change(one, other, name) for name in changed_inputs(one, other))


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({"x": 7}, {"x": 8}, "x changed from 7 to 8"),
        ({"x": "a"}, {"x": "b"}, "x changed from “a” to “b”"),
        ({"x": "a" * 99}, {"x": "b"}, "x changed"),
        ({"x": 7}, {"x": 7, "y": 1}, "y changed"),
        ({"x": 7, "y": 1}, {"x": 7}, "y changed"),
        ({"x": ["a", 0]}, {"x": ["a", 0], "up": 2}, "x changed"),
        ({"x": 7, "y": "a"}, {"x": 8, "y": "b"}, "x changed from 7 to 8; y changed from “a” to “b”"),
        ({"x": 7}, {"x": 7}, ""),
        ({"x": 7}, {"x": math.nan}, "x is never equal to itself"),
    ],
)
def test_the_reason_names_the_input(before: dict[str, Any], after: dict[str, Any], reason: str) -> None:
    assert told(before, after) == reason


def test_the_reason_of_a_class_that_says_it_changed() -> None:
    nodes = {"a": ("B", {"x": 1})}
    one, other = keys({"a": 1}, **nodes)["a"], keys({"a": 2}, **nodes)["a"]
    assert change(one, other, CHANGED) == "what it reads has changed"
    assert change(one, keys({"a": math.nan}, **nodes)["a"], CHANGED) == "it is new in every run"


def test_a_diamond_of_depth_costs_its_links() -> None:
    # Re-walking all ancestors for each path would take 2 to the power of 2,000 steps here.
    nodes: dict[str, tuple[str, dict[str, Any]]] = {"n0": ("B", {"x": 1})}
    for i in range(1, 2000):
        nodes[f"n{i}"] = ("A", {"x": [f"n{i - 1}", 0], "y": [f"n{i - 1}", 0]})
    assert len(keys(**nodes)) == 2000


BEGIN = NodeSpec(
    "Begin",
    (InputSpec("count", "INT", options={"bound": True}), InputSpec("x", "*")),
    (OutputSpec("loop", "LOOP"), OutputSpec("index", "INT"), OutputSpec("x", "*")),
    hidden={"round": "ROUND"},
    loop="begin",
)


def looped(count: int, x: Any, slot: int, outputs: list[list[Any]] | None = None) -> str:
    """The key of what reads an output of a loop's begin, which has given `outputs`."""
    prompt = prompt_of(b=("Begin", {"count": count, "x": x}), r=("B", {"x": ["b", slot]}))
    specs = {**SPECS, "Begin": BEGIN}
    found = node_keys(prompt, ["b"], specs, {})
    if outputs is not None:
        found["b"] = with_values(found["b"], outputs)
    return node_key(prompt.nodes["r"], traits_of(specs["B"]), found).key


def test_a_body_does_not_see_what_bounds_its_loop() -> None:
    assert looped(3, 1, 1) == looped(9, 1, 1) != looped(3, 2, 1)
    assert looped(3, 1, 0) != looped(9, 1, 0), "its end does"


def test_plain_values_of_a_round_stand_for_themselves() -> None:
    thing = object()
    assert looped(3, 1, 1, [[], [5], [thing]]) == looped(3, 2, 1, [[], [5], [thing]])
    assert looped(3, 1, 2, [[], [5], [thing]]) != looped(3, 2, 2, [[], [5], [thing]])
    different: list[list[Any]] = [[1], [1.0], [True], ["1"], [None], [1, 1], [float("nan")], [], list(range(99))]
    assert len({looped(3, 1, 1, [[], each, [thing]]) for each in different}) == len(different) - 2
    assert looped(3, 1, 1, [[], [], []]) == looped(3, 1, 1), "an empty list and a long one are known by the begin"

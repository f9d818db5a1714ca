from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.graph.spec import InputSpec, NodeSpec
from app.graph.values import bounded, chosen, converted, limits_links, linked, literal, out_of_range, shown, unchecked

ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.integers())


@pytest.mark.parametrize(
    ("kind", "given_value", "value"),
    [
        ("INT", "7", 7),
        ("INT", 5.9, 5),
        ("INT", -5.9, -5),
        ("INT", True, 1),
        ("INT", 2**64 - 1, 2**64 - 1),
        ("FLOAT", "1.5", 1.5),
        ("FLOAT", 3, 3.0),
        ("FLOAT", math.inf, math.inf),
        ("STRING", None, "None"),
        ("STRING", 5, "5"),
        ("BOOLEAN", "false", True),
        ("BOOLEAN", "", False),
        ("BOOLEAN", 0, False),
        ("IMAGE", 5, 5),
        ("COMBO", 5, 5),
    ],
)
def test_literals_become_the_declared_type(kind: str, given_value: Any, value: Any) -> None:
    result, problem = converted(InputSpec("x", kind), given_value)
    assert problem is None
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("INT", ""),
        ("INT", "5.9"),
        ("INT", None),
        ("INT", {}),
        ("INT", math.nan),
        ("INT", math.inf),
        ("INT", "9" * 5000),
        ("FLOAT", "abc"),
        ("FLOAT", None),
        ("FLOAT", math.nan),
        ("FLOAT", "nan"),
        ("FLOAT", 10**400),
        ("FLOAT", {}),
    ],
)
def test_what_cannot_be_converted_is_told(kind: str, value: Any) -> None:
    result, problem = converted(InputSpec("x", kind), value)
    assert problem is not None
    assert result is value or math.isnan(value)
    assert problem.type == "invalid_input_type"
    assert problem.message == f"Failed to convert an input value to a {kind} value"
    assert problem.extra_info["input_name"] == "x"
    assert problem.extra_info["exception_message"]
    assert problem.extra_info["remedy"].startswith("Set x to")
    assert len(problem.details) < 1000


@pytest.mark.parametrize(("value", "fine"), [(0, True), (10, True), (-1, False), (11, False), (10.5, False)])
def test_both_bounds_are_allowed(value: float, fine: bool) -> None:
    problem = out_of_range(InputSpec("x", "INT", options={"min": 0, "max": 10}), value)
    assert (problem is None) is fine


def test_the_complaint_says_value_and_bound() -> None:
    port = InputSpec("steps", "INT", options={"min": 1, "max": 100})
    low, high = out_of_range(port, 0), out_of_range(port, 101)
    assert low is not None and high is not None
    assert (low.type, low.message) == ("value_smaller_than_min", "Value 0 smaller than min of 1")
    assert (high.type, high.message) == ("value_bigger_than_max", "Value 101 bigger than max of 100")
    assert high.extra_info["received_value"] == 101
    assert high.extra_info["input_config"] == ["INT", {"min": 1, "max": 100}]
    assert high.details == "steps"


@pytest.mark.parametrize("options", [{}, {"min": "low"}, {"max": None}])
def test_without_numbers_for_bounds_nothing_is_out_of_range(options: dict[str, Any]) -> None:
    assert out_of_range(InputSpec("x", "INT", options=options), 10**30) is None
    assert out_of_range(InputSpec("x", "STRING", options={"min": 5}), "text") is None


def test_a_choice_must_be_an_option() -> None:
    port = InputSpec("mode", ("a", "b", 3))
    assert chosen(port, "a", {}) == ("a", None)
    assert chosen(port, 3.0, {}) == (3.0, None)
    _, problem = chosen(port, "c", {})
    assert problem is not None
    assert problem.type == "value_not_in_list"
    assert problem.details == "mode: 'c' not in ['a', 'b', 3]"
    assert "for example a" in problem.extra_info["remedy"]


@pytest.mark.parametrize("value", [None, [], {}, ["a"], math.nan])
def test_an_unhashable_choice_is_no_option_and_no_crash(value: Any) -> None:
    assert chosen(InputSpec("mode", ("a", "b")), value, {})[1] is not None


def test_long_lists_are_told_by_their_length() -> None:
    _, problem = chosen(InputSpec("mode", tuple(range(21))), "x", {})
    assert problem is not None
    assert problem.details == "mode: 'x' not in (list of length 21)"
    assert problem.extra_info["input_config"] is None


def test_files_are_options_of_their_folder() -> None:
    port = InputSpec("ckpt_name", (), folder="checkpoints")
    files = {"checkpoints": ("a.safetensors", "sub/b.safetensors")}
    assert chosen(port, "a.safetensors", files)[1] is None
    assert chosen(port, "sub\\b.safetensors", files) == ("sub/b.safetensors", None)
    assert chosen(port, "c.safetensors", files)[1] is not None


def test_an_empty_folder_says_where_to_put_a_file() -> None:
    _, problem = chosen(InputSpec("ckpt_name", (), folder="checkpoints"), "a", {})
    assert problem is not None
    assert "folder checkpoints" in problem.extra_info["remedy"]


@pytest.mark.parametrize(
    ("name", "fine"), [("a.png", True), ("b.png", False), ("sub/b.png", True), ("b.png [output]", True)]
)
def test_input_files_outside_the_listing_are_left_to_the_node(name: str, fine: bool) -> None:
    port = InputSpec("image", (), folder="input")
    assert (chosen(port, name, {"input": ("a.png",)})[1] is None) is fine


def test_a_modern_combo_has_its_options_beside_it() -> None:
    port = InputSpec("mode", "COMBO", options={"options": ["x", "y"]})
    assert chosen(port, "x", {})[1] is None
    assert chosen(port, "z", {})[1] is not None
    remote = InputSpec("mode", "COMBO", options={"options": ["x"], "remote": {"route": "/"}})
    assert chosen(remote, "z", {})[1] is None


def test_several_choices_are_checked_one_by_one() -> None:
    port = InputSpec("modes", "COMBO", options={"options": ["x", "y"], "multiselect": True})
    assert chosen(port, ["x", "y"], {})[1] is None
    problem = chosen(port, ["x", "z"], {})[1]
    assert problem is not None
    assert "'z'" in problem.details


def test_a_validator_answers_for_the_inputs_it_names() -> None:
    assert unchecked(NodeSpec("A", validator_inputs=("x",)), "x")
    assert not unchecked(NodeSpec("A", validator_inputs=("x",)), "y")
    assert unchecked(NodeSpec("A", validator_inputs=("*",)), "y")


@given(st.sampled_from(["INT", "FLOAT", "STRING", "BOOLEAN"]), ANYTHING)
def test_any_value_is_converted_or_complained_about(kind: str, value: Any) -> None:
    port = InputSpec("x", kind, options={"min": 0, "max": 1})
    result, problem = converted(port, value)
    if problem is None:
        assert type(result).__name__ == {"INT": "int", "FLOAT": "float", "STRING": "str", "BOOLEAN": "bool"}[kind]
        out_of_range(port, result)
    else:
        assert problem.to_json()["extra_info"]["remedy"]


@pytest.mark.parametrize(
    ("port", "limits"),
    [
        (InputSpec("x", "INT"), True),
        (InputSpec("x", "STRING"), True),
        (InputSpec("x", ("a", "b")), True),
        (InputSpec("x", "COMBO"), True),
        (InputSpec("x", (), folder="checkpoints"), False),
        (InputSpec("x", "MODEL"), False),
        (InputSpec("x", "*"), False),
    ],
)
def test_only_values_that_a_prompt_could_hold_are_limited_on_links(port: InputSpec, limits: bool) -> None:
    assert limits_links(port) == limits


@given(
    st.sampled_from(["INT", "FLOAT", "STRING", "BOOLEAN", ("a", "b", 1)]),
    st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
)
def test_a_link_is_taken_as_the_same_literal_is(kind: Any, value: Any) -> None:
    spec, port = NodeSpec("A"), InputSpec("x", kind, options={"min": -5, "max": 5})
    taken, problem = linked(spec, port, value)
    wanted, expected = literal(spec, port, value, {})
    assert (repr(taken), problem) == (repr(wanted), expected)


@pytest.mark.parametrize(
    "value",
    [10**10_000, [10**10_000], "x" * 10_000, ["x" * 10_000], {"a": "x" * 10_000}],
    ids=lambda value: type(value).__name__,
)
def test_answers_never_carry_a_huge_value(value: Any) -> None:
    assert len(shown(value)) < 300
    assert len(str(bounded(value))) < 300


def test_small_values_are_answered_as_they_are() -> None:
    assert [bounded(value) for value in (None, True, 5, 0.5, "a")] == [None, True, 5, 0.5, "a"]
    assert bounded(math.nan) == "nan"

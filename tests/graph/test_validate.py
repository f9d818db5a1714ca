from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidPrompt
from app.graph.prompt import Link, parse_prompt
from app.graph.spec import InputSpec, NodeSpec, OutputSpec
from app.graph.validate import Validated, validate, with_complaints
from app.graph.values import Complaint

EMPTY = {"width": 64, "height": 64, "batch_size": 1, "color": 0}
FILES = {"checkpoints": ("a.safetensors",), "input": ("a.png",)}


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def check(specs: dict[str, NodeSpec], targets: list[str] | None = None, /, **nodes: Any) -> Validated:
    return validate(parse_prompt(nodes), specs, FILES, targets)


def refused(specs: dict[str, NodeSpec], targets: list[str] | None = None, /, **nodes: Any) -> InvalidPrompt:
    with pytest.raises(InvalidPrompt) as error:
        check(specs, targets, **nodes)
    return error.value


def complaints(specs: dict[str, NodeSpec], **nodes: Any) -> dict[str, list[str]]:
    error = refused(specs, **nodes)
    assert error.kind == "prompt_outputs_failed_validation"
    return {node_id: [each["type"] for each in found["errors"]] for node_id, found in error.node_errors.items()}  # type: ignore[union-attr]


def test_the_worked_example_converts_and_passes(specs: dict[str, NodeSpec]) -> None:
    result = check(specs, a=node("EmptyImage", **{**EMPTY, "width": "64"}), b=node("PreviewImage", images=["a", 0]))
    assert result.prompt.nodes["a"].inputs["width"] == 64
    assert result.outputs == ("b",)
    assert result.node_errors == {}


def test_the_worked_example_of_a_colour_too_big(specs: dict[str, NodeSpec]) -> None:
    error = refused(
        specs, a=node("EmptyImage", **{**EMPTY, "color": 16777216}), b=node("PreviewImage", images=["a", 0])
    )
    assert error.kind == "prompt_outputs_failed_validation"
    assert error.message == "Prompt outputs failed validation"
    assert error.details == "Value 16777216 bigger than max of 16777215: color"
    (entry,) = error.node_errors.values()
    assert entry["dependent_outputs"] == ["b"]
    assert entry["class_type"] == "EmptyImage"
    (problem,) = entry["errors"]  # type: ignore[misc]
    assert problem["type"] == "value_bigger_than_max"
    assert set(problem) == {"type", "message", "details", "extra_info"}
    assert problem["extra_info"]["input_name"] == "color"
    assert problem["extra_info"]["received_value"] == 16777216


def test_the_worked_example_of_a_link_of_three(specs: dict[str, NodeSpec]) -> None:
    assert complaints(specs, a=node("EmptyImage", **EMPTY), b=node("PreviewImage", images=["a", 0, 0])) == {
        "b": ["bad_linked_input"]
    }


@pytest.mark.parametrize(
    ("link", "kind"),
    [
        ([], "bad_linked_input"),
        (["a"], "bad_linked_input"),
        (["nobody", 0], "bad_linked_input"),
        (["a", 5], "bad_linked_input"),
        (["a", -1], "bad_linked_input"),
        (["m", 0], "return_type_mismatch"),
    ],
)
def test_bad_links(specs: dict[str, NodeSpec], link: list[Any], kind: str) -> None:
    found = complaints(specs, a=node("EmptyImage", **EMPTY), m=node("MaskMaker"), b=node("PreviewImage", images=link))
    assert found == {"b": [kind]}


def test_a_type_mismatch_names_both_types(specs: dict[str, NodeSpec]) -> None:
    error = refused(specs, m=node("MaskMaker"), b=node("PreviewImage", images=["m", 0]))
    problem = error.node_errors["b"]["errors"][0]  # type: ignore[index]
    assert problem["details"] == "images, received_type(MASK) mismatch input_type(IMAGE)"
    assert problem["extra_info"]["linked_node"] == ["m", 0]
    assert problem["extra_info"]["received_type"] == "MASK"


def test_a_missing_input_is_told_and_its_child_is_not_listed(specs: dict[str, NodeSpec]) -> None:
    found = complaints(specs, p=node("Pass"), b=node("PreviewImage", images=["p", 0]))
    assert found == {"p": ["required_input_missing"]}


def test_an_unknown_class_anywhere_refuses_the_whole_prompt(specs: dict[str, NodeSpec]) -> None:
    error = refused(
        specs,
        a=node("EmptyImage", **EMPTY),
        b=node("PreviewImage", images=["a", 0]),
        aside={"class_type": "Lost", "inputs": {}, "_meta": {"title": "Mine"}},
    )
    assert error.kind == "invalid_prompt"
    assert error.message == "Cannot execute because node Lost does not exist."
    assert error.details == "Node ID '#aside'"
    assert error.node_errors == {}
    assert error.extra_info["node_title"] == "Mine"
    assert error.extra_info["missing"] == [{"node_id": "aside", "class_type": "Lost"}]
    assert "Lost" in error.remedy


@pytest.mark.parametrize("targets", [None, ["a"], ["nobody"], []])
def test_no_output_node(specs: dict[str, NodeSpec], targets: list[str] | None) -> None:
    nodes = {"a": node("EmptyImage", **EMPTY)}
    if targets is not None:
        nodes["b"] = node("PreviewImage", images=["a", 0])
    error = refused(specs, targets, **nodes)
    assert error.kind == "prompt_no_outputs"
    assert error.message == "Prompt has no outputs"
    assert error.remedy


def test_an_empty_prompt_has_no_outputs(specs: dict[str, NodeSpec]) -> None:
    assert refused(specs).kind == "prompt_no_outputs"


def test_targets_restrict_the_outputs(specs: dict[str, NodeSpec]) -> None:
    nodes = {
        "a": node("EmptyImage", **EMPTY),
        "b": node("PreviewImage", images=["a", 0]),
        "c": node("PreviewImage", images=["a", 0]),
        "d": node("PreviewImage"),
    }
    assert check(specs, ["c", "a", "nobody"], **nodes).outputs == ("c",)


def test_one_good_output_is_enough(specs: dict[str, NodeSpec]) -> None:
    result = check(
        specs,
        a=node("EmptyImage", **EMPTY),
        good=node("PreviewImage", images=["a", 0]),
        bad=node("PreviewImage"),
    )
    assert result.outputs == ("good",)
    assert result.node_errors["bad"]["dependent_outputs"] == ["bad"]


def test_what_no_output_needs_is_not_checked(specs: dict[str, NodeSpec]) -> None:
    result = check(
        specs, a=node("EmptyImage", **EMPTY), b=node("PreviewImage", images=["a", 0]), aside=node("Pass", image=5)
    )
    assert result.node_errors == {}


def test_a_bad_node_lists_every_output_that_needs_it(specs: dict[str, NodeSpec]) -> None:
    error = refused(
        specs,
        a=node("EmptyImage", **{**EMPTY, "width": 0}),
        p=node("Pass", image=["a", 0]),
        x=node("PreviewImage", images=["p", 0]),
        y=node("PreviewImage", images=["a", 0]),
    )
    assert error.node_errors["a"]["dependent_outputs"] == ["x", "y"]
    assert list(error.node_errors) == ["a"]


def test_all_complaints_of_a_node_come_at_once(specs: dict[str, NodeSpec]) -> None:
    found = complaints(specs, t=node("Typed", whole="x", real=5, choice="z", modern="z", file="z", socket=["t", 9]))
    assert found == {
        "t": [
            "invalid_input_type",
            "value_bigger_than_max",
            "value_not_in_list",
            "value_not_in_list",
            "value_not_in_list",
            "bad_linked_input",
            "dependency_cycle",
        ]
    }


def test_literals_for_sockets_are_accepted(specs: dict[str, NodeSpec]) -> None:
    assert check(specs, t=node("Typed", socket=5, any={"k": 1}, both=None)).outputs == ("t",)


def test_wrapped_lists_are_values(specs: dict[str, NodeSpec]) -> None:
    result = check(specs, t=node("Typed", several={"__value__": ["x", "y"]}))
    assert result.prompt.nodes["t"].inputs["several"] == ["x", "y"]


def test_undeclared_inputs_are_left_alone(specs: dict[str, NodeSpec]) -> None:
    result = check(specs, t=node("Typed", extra=[1, 2, 3], more=["nobody", 0]))
    assert result.prompt.nodes["t"].inputs["more"] == Link("nobody", 0)


def test_undeclared_links_count_where_any_input_is_taken(specs: dict[str, NodeSpec]) -> None:
    specs["Open"] = NodeSpec("Open", accepts_any_input=True, output_node=True)
    assert complaints(specs, t=node("Open", extra=["nobody", 0])) == {"t": ["bad_linked_input"]}
    assert check(specs, m=node("MaskMaker"), t=node("Open", extra=["m", 0], more=5)).outputs == ("t",)


def test_a_list_output_feeds_a_combo(specs: dict[str, NodeSpec]) -> None:
    nodes = {"l": node("Lister"), "t": node("Typed", choice=["l", 0], modern=["l", 0], file=["l", 0], whole=["l", 1])}
    assert check(specs, **nodes).outputs == ("t",)


def test_a_validator_that_takes_input_types_decides_on_links(specs: dict[str, NodeSpec]) -> None:
    specs["Own"] = NodeSpec(
        "Own", (InputSpec("image", "IMAGE"),), output_node=True, has_validator=True, validator_inputs=("input_types",)
    )
    assert check(specs, m=node("MaskMaker"), o=node("Own", image=["m", 0])).outputs == ("o",)


def test_limits_of_inputs_that_the_validator_takes_are_not_checked(specs: dict[str, NodeSpec]) -> None:
    port = InputSpec("n", "INT", options={"min": 0, "max": 5})
    specs["Own"] = NodeSpec("Own", (port,), output_node=True, has_validator=True, validator_inputs=("n",))
    assert check(specs, o=node("Own", n="9")).prompt.nodes["o"].inputs["n"] == 9
    assert complaints(specs, o=node("Own", n="x")) == {"o": ["invalid_input_type"]}


def test_a_cycle_is_told_with_its_nodes(specs: dict[str, NodeSpec]) -> None:
    error = refused(
        specs,
        a=node("Pass", image=["b", 0]),
        b=node("Pass", image=["a", 0]),
        o=node("PreviewImage", images=["b", 0]),
    )
    (entry,) = error.node_errors.values()
    (problem,) = entry["errors"]  # type: ignore[misc]
    assert problem["type"] == "dependency_cycle"
    assert problem["extra_info"]["cycle_nodes"] == ["a", "b", "a"]
    assert problem["extra_info"]["input_name"] == "image"
    assert entry["dependent_outputs"] == ["o"]


def test_an_output_beside_a_cycle_still_runs(specs: dict[str, NodeSpec]) -> None:
    result = check(
        specs,
        a=node("Join", a=["c", 0], b=["a", 0]),
        c=node("EmptyImage", **EMPTY),
        bad=node("PreviewImage", images=["a", 0]),
        good=node("PreviewImage", images=["c", 0]),
    )
    assert result.outputs == ("good",)


def test_every_output_into_a_cycle_is_dropped_wherever_it_enters(specs: dict[str, NodeSpec]) -> None:
    ring = [f"r{i}" for i in range(40)]
    nodes = {name: node("Join", a=[ring[i - 1], 0], b=[name, 0]) for i, name in enumerate(ring)}
    nodes |= {f"o{i}": node("PreviewImage", images=[name, 0]) for i, name in enumerate(ring)}
    error = refused(specs, **nodes)
    assert {out for entry in error.node_errors.values() for out in entry["dependent_outputs"]} == {  # type: ignore[attr-defined]
        f"o{i}" for i in range(40)
    }


def test_a_long_cycle_is_told_shortly(specs: dict[str, NodeSpec]) -> None:
    size = 5000
    nodes = {f"n{i}": node("Pass", image=[f"n{(i + 1) % size}", 0]) for i in range(size)}
    error = refused(specs, **nodes, o=node("PreviewImage", images=["n0", 0]))
    assert len(str(error.node_errors)) < 5000


def chain(length: int) -> dict[str, Any]:
    nodes = {"n0": node("EmptyImage", **EMPTY)}
    nodes |= {f"n{i}": node("Pass", image=[f"n{i - 1}", 0]) for i in range(1, length)}
    return {**nodes, "out": node("PreviewImage", images=[f"n{length - 1}", 0])}


def test_fifty_thousand_nodes_in_a_row_take_seconds(specs: dict[str, NodeSpec]) -> None:
    began = time.perf_counter()
    result = check(specs, **chain(50_000))
    assert result.outputs == ("out",)
    assert time.perf_counter() - began < 20


def test_a_wide_graph_costs_its_links(specs: dict[str, NodeSpec]) -> None:
    nodes = {"a": node("EmptyImage", **{**EMPTY, "width": 0})}
    nodes |= {f"p{i}": node("Join", a=["a", 0], b=[f"p{i - 1}", 0] if i else ["a", 0]) for i in range(500)}
    nodes |= {f"o{i}": node("PreviewImage", images=[f"p{i}", 0]) for i in range(500)}
    error = refused(specs, **nodes)
    assert len(error.node_errors["a"]["dependent_outputs"]) == 500  # type: ignore[arg-type]


VALUES = (
    st.none()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers() | st.text(max_size=2), max_size=3)
)
NAMES = st.sampled_from(
    ["whole", "real", "text", "truth", "choice", "modern", "several", "file", "any", "both", "else"]
)


@settings(max_examples=200)
@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_any_inputs_pass_or_are_refused_with_remedies(all_specs: dict[str, NodeSpec], inputs: dict[str, Any]) -> None:
    try:
        result = check(all_specs, t=node("Typed", **inputs))
    except InvalidPrompt as error:
        for entry in error.node_errors.values():
            assert all(each["extra_info"]["remedy"] for each in entry["errors"])  # type: ignore[attr-defined]
        return
    again = validate(result.prompt, all_specs, FILES)
    assert again.outputs == ("t",)


def test_multiple_slots_are_told_by_number(specs: dict[str, NodeSpec]) -> None:
    specs["Two"] = NodeSpec("Two", (), (OutputSpec("A", "IMAGE"), OutputSpec("B", "MASK")))
    assert check(specs, two=node("Two"), b=node("PreviewImage", images=["two", 0.0])).outputs == ("b",)
    error = refused(specs, two=node("Two"), b=node("PreviewImage", images=["two", 2]))
    assert "Two has 2 outputs and no slot 2" in error.node_errors["b"]["errors"][0]["details"]  # type: ignore[index]


def test_complaints_of_classes_themselves_drop_the_outputs_that_need_them(specs: dict[str, NodeSpec]) -> None:
    graph = {
        "a": {"class_type": "MaskMaker", "inputs": {}},
        "b": {"class_type": "Typed", "inputs": {"any": ["a", 0]}},
        "c": {"class_type": "Typed", "inputs": {}},
    }
    valid = validate(parse_prompt(graph), specs, {})
    refused = {"a": [Complaint("custom_validation_failed", "Custom validation failed for node", "x - no", {})]}
    left = with_complaints(valid, refused, specs)
    assert left.outputs == ("c",)
    assert left.node_errors["a"]["dependent_outputs"] == ["b"]
    assert with_complaints(valid, {}, specs) is valid
    with pytest.raises(InvalidPrompt, match="failed validation"):
        with_complaints(left, {"c": refused["a"]}, specs)

"""Inputs that grow and choices that bring their own are checked as if the class declared them one by one."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import InvalidPrompt
from app.graph.dynamic_inputs import ports_of
from app.graph.prompt import parse_prompt
from app.graph.spec import InputSpec, NodeSpec, OutputSpec
from app.graph.validate import validate

IMAGES = {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 2, "max": 4}
NAMED = {"input": {"optional": {"x": ["INT", {"min": 0}]}}, "names": ["red", "blue"], "min": 1}
MODES = [
    {"key": "plain", "inputs": {"required": {}}},
    {
        "key": "strong",
        "inputs": {
            "required": {"strength": ["FLOAT", {"min": 0.0, "max": 1.0}]},
            "optional": {"inner": ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "a", "inputs": {}}]}]},
        },
    },
]
GUIDE = {"slotType": "IMAGE", "inputs": {"required": {"mask": ["MASK", {}]}, "optional": {"on": ["BOOLEAN", {}]}}}
ROW = {"required": {"name": [["a", "b"], {}]}, "optional": {"weight": ["FLOAT", {"max": 2}]}}
SPEC = NodeSpec(
    "Dynamic",
    (
        InputSpec("plain", "INT", "optional"),
        InputSpec("images", "COMFY_AUTOGROW_V3", "required", {"template": IMAGES}),
        InputSpec("colors", "COMFY_AUTOGROW_V3", "optional", {"template": NAMED}),
        InputSpec("mode", "COMFY_DYNAMICCOMBO_V3", "required", {"options": MODES}),
        InputSpec("guide", "COMFY_DYNAMICSLOT_V3", "optional", GUIDE),
        InputSpec("rows", "COMFY_DYNAMICGROUP_V3", "optional", {"template": ROW, "min": 0, "max": 3}),
    ),
    output_node=True,
    accepts_any_input=True,
)
SPECS = {
    "Dynamic": SPEC,
    "Image": NodeSpec("Image", (), (OutputSpec("IMAGE", "IMAGE"),)),
    "Mask": NodeSpec("Mask", (), (OutputSpec("MASK", "MASK"),)),
}


def names(inputs: dict[str, Any]) -> list[tuple[str, str]]:
    return [(port.name, port.section) for port in ports_of(SPEC, inputs)]


def test_as_many_as_are_given_and_needed() -> None:
    assert names({"images.image2": 1, "mode": "plain"}) == [
        ("plain", "optional"),
        ("images.image0", "required"),
        ("images.image1", "required"),
        ("images.image2", "optional"),
        ("mode", "required"),
        ("guide", "optional"),
    ]


def test_a_choice_brings_its_own_and_they_may_choose_again() -> None:
    found = names({"mode": "strong", "mode.inner": "a", "colors.blue": 1})
    assert ("mode.strength", "required") in found
    assert ("mode.inner", "optional") in found
    assert ("colors.blue", "optional") in found
    assert ("colors.red", "optional") not in found


def test_a_socket_brings_its_own_once_it_is_linked() -> None:
    assert ("guide.mask", "required") not in names({"guide.mask": 1})
    found = names({"guide": ["i", 0]})
    assert ("guide.mask", "required") in found
    assert ("guide.on", "optional") in found


def test_rows_are_those_that_something_is_given_of() -> None:
    found = [name for name in names({"rows.0.name": "a", "rows.7.weight": 1, "rows.x.name": 1}) if "rows" in name[0]]
    assert found == [
        ("rows.0.name", "required"),
        ("rows.0.weight", "optional"),
        ("rows.7.name", "required"),
        ("rows.7.weight", "optional"),
    ]


@pytest.mark.parametrize(("least", "count"), [(0, 0), (2, 2), (True, 1), (-3, 0), ("two", 0), (10**9, 100)])
def test_the_fewest_rows_are_there_at_any_rate(least: Any, count: int) -> None:
    port = InputSpec("rows", "COMFY_DYNAMICGROUP_V3", options={"template": ROW, "min": least, "max": 1})
    spec = NodeSpec("A", (port,), accepts_any_input=True)
    assert len(ports_of(spec, {})) == 2 * count


def test_classes_without_are_left_alone() -> None:
    spec = NodeSpec("A", (InputSpec("x", "INT"),))
    assert ports_of(spec, {"x": 1}) is spec.inputs


def errors(**inputs: Any) -> dict[str, list[str]]:
    graph = {
        "n": {"class_type": "Dynamic", "inputs": {**inputs}},
        "i": {"class_type": "Image", "inputs": {}},
        "m": {"class_type": "Mask", "inputs": {}},
    }
    try:
        validate(parse_prompt(graph), SPECS, {})
    except InvalidPrompt as refused:
        found: dict[str, list[str]] = {}
        for each in refused.node_errors["n"]["errors"]:  # type: ignore[attr-defined]
            found.setdefault(each["extra_info"]["input_name"], []).append(each["type"])
        return found
    return {}


LIST, BIG = "value_not_in_list", "value_bigger_than_max"
GOOD = {"images.image0": ["i", 0], "images.image1": ["i", 0], "mode": "strong", "mode.strength": "0.5"}


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({}, {}),
        ({"images.image3": ["i", 0]}, {}),
        ({"images.image1": ["m", 0]}, {"images.image1": ["return_type_mismatch"]}),
        ({"mode.strength": 2}, {"mode.strength": ["value_bigger_than_max"]}),
        ({"mode.strength": "x"}, {"mode.strength": ["invalid_input_type"]}),
        ({"mode": "none"}, {"mode": ["value_not_in_list"]}),
        ({"colors.red": -1}, {"colors.red": ["value_smaller_than_min"]}),
        ({"guide": ["i", 0], "guide.mask": ["m", 0]}, {}),
        ({"guide": ["i", 0]}, {"guide.mask": ["required_input_missing"]}),
        ({"guide": ["m", 0], "guide.mask": ["m", 0]}, {"guide": ["return_type_mismatch"]}),
        ({"rows.1.name": "b", "rows.1.weight": "1.5"}, {}),
        ({"rows.1.name": "c", "rows.1.weight": 3}, {"rows.1.name": [LIST], "rows.1.weight": [BIG]}),
        ({"rows.0.weight": 1}, {"rows.0.name": ["required_input_missing"]}),
    ],
)
def test_each_is_checked(changed: dict[str, Any], wanted: dict[str, list[str]]) -> None:
    assert errors(**{**GOOD, **changed}) == wanted


def test_what_is_missing_is_named() -> None:
    assert errors(mode="strong") == {
        "images.image0": ["required_input_missing"],
        "images.image1": ["required_input_missing"],
        "mode.strength": ["required_input_missing"],
    }


@pytest.mark.parametrize(
    "template", [None, 5, {}, {"input": []}, {"input": {"required": {"x": "IMAGE"}}, "max": "many"}]
)
def test_malformed_declarations_do_no_harm(template: Any) -> None:
    spec = NodeSpec(
        "A", (InputSpec("x", "COMFY_AUTOGROW_V3", "required", {"template": template}),), accepts_any_input=True
    )
    assert all(port.name.startswith("x.") for port in ports_of(spec, {}))
    choice = NodeSpec(
        "A", (InputSpec("x", "COMFY_DYNAMICCOMBO_V3", "required", {"options": template}),), accepts_any_input=True
    )
    assert [port.name for port in ports_of(choice, {"x": "y"})] == ["x"]
    for kind in ("COMFY_DYNAMICSLOT_V3", "COMFY_DYNAMICGROUP_V3"):
        options = {"template": template, "inputs": template, "slotType": template}
        odd = NodeSpec("A", (InputSpec("x", kind, "required", options),), accepts_any_input=True)
        assert all(port.name.startswith("x") for port in ports_of(odd, {"x": 1, "x.0.y": 2}))

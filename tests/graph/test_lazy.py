"""Which inputs wait until they are asked for."""

from __future__ import annotations

from dataclasses import replace

from app.graph.lazy import lazy_inputs, still_open
from app.graph.spec import InputSpec, NodeSpec

GROWING = {"input": {"required": {"image": ["IMAGE", {"lazy": True}]}}, "prefix": "image", "min": 1, "max": 3}
CHOICE = [
    {"key": "plain", "inputs": {}},
    {"key": "mixed", "inputs": {"optional": {"mask": ["MASK", {"lazy": True}], "amount": ["FLOAT", {}]}}},
]
SPEC = NodeSpec(
    "Dynamic",
    (
        InputSpec("late", "*", "optional", {"lazy": True}),
        InputSpec("now", "*", "optional"),
        InputSpec("images", "COMFY_AUTOGROW_V3", "optional", {"template": GROWING}),
        InputSpec("mode", "COMFY_DYNAMICCOMBO_V3", "required", {"options": CHOICE}),
    ),
    accepts_any_input=True,
)


def test_dynamic_inputs_are_lazy_as_they_are_declared_inside() -> None:
    assert lazy_inputs(SPEC, {"mode": "plain"}) == ("late", "images.image0")
    given = {"mode": "mixed", "images.image0": 1, "images.image2": 1, "mode.mask": 1, "mode.amount": 2}
    assert lazy_inputs(SPEC, given) == ("late", "images.image0", "images.image2", "mode.mask")


def test_what_has_no_value_is_open() -> None:
    given = {"late": None, "mode": "mixed", "images.image0": 0, "mode.mask": None}
    assert still_open(SPEC, given) == ("late", "mode.mask")
    assert still_open(SPEC, given, ["images.image0", "mode.mask", "absent"]) == ("mode.mask", "absent")


def test_lists_of_classes_that_take_them_whole() -> None:
    spec = replace(SPEC, input_is_list=True)
    given = {"late": [None], "mode": ["plain"], "images.image0": [None, 1]}
    assert still_open(spec, given, ["late", "images.image0"]) == ("late",)

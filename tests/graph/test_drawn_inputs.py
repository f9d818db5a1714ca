"""Saved workflows whose nodes have inputs that grew: values by place, by name, and as an object."""

from __future__ import annotations

from typing import Any

import pytest

from app.graph.prompt import Link, prompt_to_json
from app.graph.spec import InputSpec, NodeSpec, OutputSpec
from app.graph.workflow import workflow_to_prompt

ROW = {
    "required": {"name": ["COMBO", {"options": ["A", "B"]}], "seed": ["INT", {"control_after_generate": True}]},
    "optional": {"on": ["BOOLEAN", {"default": True}]},
}
MODE_Y = {"key": "y", "inputs": {"required": {"deep": ["STRING", {}]}}}
MODES = [
    {"key": "off", "inputs": {}},
    {
        "key": "on",
        "inputs": {
            "required": {"width": ["INT", {"default": 7}], "rows": ["COMFY_DYNAMICGROUP_V3", {"template": ROW}]},
            "optional": {
                "inner": ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "x", "inputs": {}}, MODE_Y]}],
            },
        },
    },
]
GUIDE = {"slotType": "IMAGE", "inputs": {"required": {"strength": ["FLOAT", {"default": 0.5}]}}}
IMAGES = {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 1, "max": 4}
SPECS = {
    "N": NodeSpec(
        "N",
        (
            InputSpec("late", "STRING", "optional"),
            InputSpec("before", "STRING"),
            InputSpec("mode", "COMFY_DYNAMICCOMBO_V3", options={"options": MODES}),
            InputSpec("guide", "COMFY_DYNAMICSLOT_V3", options=GUIDE),
            InputSpec("images", "COMFY_AUTOGROW_V3", options={"template": IMAGES}),
            InputSpec("after", "STRING"),
        ),
        output_node=True,
        accepts_any_input=True,
    ),
    "I": NodeSpec("I", (), (OutputSpec("IMAGE", "IMAGE"), OutputSpec("INT", "INT"))),
}


def compiled(values: Any, named: Any = None, **links: int) -> dict[str, Any]:
    """The inputs of a node whose values are these; `links` are output slots of another node by input."""
    sockets = {name.replace("__", "."): slot for name, slot in links.items()}
    node = {"id": 1, "type": "N", "widgets_values": values, "widgets_values_named": named}
    node["inputs"] = [{"name": name, "type": "IMAGE", "link": at} for at, name in enumerate(sockets, 1)]
    joins = [[at, 2, slot, 1, at - 1, "IMAGE"] for at, slot in enumerate(sockets.values(), 1)]
    prompt = workflow_to_prompt({"nodes": [node, {"id": 2, "type": "I"}], "links": joins, "version": 0.4}, SPECS)
    return prompt_to_json(prompt)["1"]["inputs"]


def test_what_has_not_grown_takes_no_place() -> None:
    assert compiled(["head", "off", "tail", "end"]) == {
        "before": "head",
        "mode": "off",
        "after": "tail",
        "late": "end",
    }


def test_a_choice_its_rows_and_the_choices_inside_have_their_places() -> None:
    values = ["head", "on", 640, 2, "A", 5, "fixed", False, "B", 6, "randomize", True, "y", "text", "tail", "end"]
    wanted = {
        "before": "head",
        "mode": "on",
        "mode.width": 640,
        "mode.rows.0.name": "A",
        "mode.rows.0.seed": 5,
        "mode.rows.0.on": False,
        "mode.rows.1.name": "B",
        "mode.rows.1.seed": 6,
        "mode.rows.1.on": True,
        "mode.inner": "y",
        "mode.inner.deep": "text",
        "after": "tail",
        "late": "end",
    }
    assert compiled(values) == wanted
    named = {**wanted, "mode.rows": 2, "mode.rows.0.seed.0": "fixed"}
    assert compiled(list(named.values()), named) == wanted
    assert compiled({**wanted, "mode.rows": 2}) == wanted


def test_what_the_file_leaves_out_is_the_default() -> None:
    assert compiled(["head", "on"]) == {
        "before": "head",
        "mode": "on",
        "mode.width": 7,
        "mode.inner": "x",
        "after": "",
        "late": "",
    }
    assert compiled([])["mode"] == "off"


def test_links_make_sockets_grow_and_open() -> None:
    found = compiled(["head", "off", 0.9, "tail", "end"], guide=0, images__image0=0, images__image2=0)
    assert found["guide"] == found["images.image0"] == found["images.image2"] == ["2", 0]
    assert (found["guide.strength"], found["after"]) == (0.9, "tail")
    assert "images.image1" not in found


def test_named_values_of_what_grows_are_kept() -> None:
    assert compiled(["a", "off", "b", "c"], {"images.image3": 3, "nobody.x": 1})["images.image3"] == 3


def test_a_linked_value_of_a_choice_overrules_the_one_in_the_file() -> None:
    found = compiled(["head", "on", 640, 0, "x", "tail", "end"], mode__width=1)
    assert (found["mode.width"], found["after"]) == (["2", 1], "tail")


@pytest.mark.parametrize("count", [-1, 10**9, "2", None, 2.0, float("nan")])
def test_an_odd_number_of_rows_does_no_harm(count: Any) -> None:
    found = compiled(["head", "on", 640, count])
    assert found["mode.width"] == 640
    assert Link("2", 0) not in found.values()
    assert ("mode.rows.1.name" in found) == (count == 2.0)

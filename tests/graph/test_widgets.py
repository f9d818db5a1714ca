from __future__ import annotations

from typing import Any

import pytest

from app.graph.document import Socket, UiNode
from app.graph.spec import InputSpec, NodeSpec
from app.graph.widgets import default_of, value_places, widget_values, widgets_of

FILES = {"input": ("cat.png",), "checkpoints": ()}
SAMPLERS = ("euler", "heun")

KSAMPLER = NodeSpec(
    "KSampler",
    (
        InputSpec("model", "MODEL"),
        InputSpec("seed", "INT", options={"default": 0, "control_after_generate": True}),
        InputSpec("steps", "INT", options={"default": 20}),
        InputSpec("cfg", "FLOAT", options={"default": 8.0}),
        InputSpec("sampler_name", SAMPLERS),
        InputSpec("positive", "CONDITIONING"),
        InputSpec("denoise", "FLOAT", options={"default": 1.0}),
    ),
)
LOAD_IMAGE = NodeSpec("LoadImage", (InputSpec("image", (), options={"image_upload": True}, folder="input"),))
LOAD_MASK = NodeSpec(
    "LoadImageMask",
    (
        InputSpec("image", (), options={"image_upload": True}, folder="input"),
        InputSpec("channel", ("alpha", "red")),
    ),
)
PICK = NodeSpec(
    "Pick",
    (
        InputSpec("which", ("a", "b"), options={"control_after_generate": True}),
        InputSpec("n", "INT", options={"default": 3}),
    ),
)


def values(spec: NodeSpec | None, given: Any, **more: Any) -> dict[str, Any]:
    return widget_values(UiNode("1", "x", values=given, **more), spec, FILES)


def test_the_control_behind_a_seed_is_passed_over() -> None:
    assert values(KSAMPLER, [7, "randomize", 20, 3.0, "euler", 0.5]) == {
        "seed": 7,
        "steps": 20,
        "cfg": 3.0,
        "sampler_name": "euler",
        "denoise": 0.5,
    }


@pytest.mark.parametrize("control", ["fixed", "increment", "decrement", True, False])
def test_old_and_new_controls_are_known(control: Any) -> None:
    assert values(KSAMPLER, [7, control, 30])["steps"] == 30


def test_a_file_without_the_control_is_read_too() -> None:
    assert values(KSAMPLER, [7, 30, 3.0])["steps"] == 30


def test_a_seed_by_name_has_a_control_as_well() -> None:
    spec = NodeSpec("Old", (InputSpec("noise_seed", "INT"), InputSpec("steps", "INT")))
    assert values(spec, [7, "fixed", 30]) == {"noise_seed": 7, "steps": 30}


@pytest.mark.parametrize(
    ("given", "n"), [(["a", "fixed", 5], 5), (["a", "fixed", "", 5], 5), (["a", 5], 5), (["a"], 3)]
)
def test_a_combo_may_have_a_control_and_a_filter(given: list[Any], n: int) -> None:
    assert values(PICK, given) == {"which": "a", "n": n}


@pytest.mark.parametrize("given", [["dog.png", "image"], ["dog.png"], ["dog.png", None]])
def test_the_upload_button_has_a_value_of_no_use(given: list[Any]) -> None:
    assert values(LOAD_IMAGE, given) == {"image": "dog.png"}


@pytest.mark.parametrize("given", [["dog.png", "red", "image"], ["dog.png", "image", "red"], ["dog.png", "red"]])
def test_the_upload_button_is_found_wherever_it_stands(given: list[Any]) -> None:
    assert values(LOAD_MASK, given) == {"image": "dog.png", "channel": "red"}


def test_null_and_missing_values_are_the_defaults() -> None:
    assert values(KSAMPLER, [None, "fixed", None])["steps"] == 20
    assert values(KSAMPLER, []) == {"seed": 0, "steps": 20, "cfg": 8.0, "sampler_name": "euler", "denoise": 1.0}


def test_names_beside_the_list_say_whose_its_values_are() -> None:
    named = {"steps": 1, "seed": 1, "control_after_generate": "fixed"}
    found = values(KSAMPLER, [20, 7, "fixed"], named_values=named)
    assert (found["steps"], found["seed"], found["cfg"]) == (20, 7, 8.0)


def test_names_of_another_length_or_without_an_order_are_passed_over() -> None:
    assert values(KSAMPLER, [7, "fixed", 20], named_values={"steps": 9})["steps"] == 20
    assert values(KSAMPLER, [7, "fixed"], named_values={"1": 0, "steps": 0})["seed"] == 7


def test_inputs_that_grew_under_a_declared_one_are_kept() -> None:
    found = values(KSAMPLER, [7, 512, 3], named_values={"seed": 7, "model.width": 512, "other.width": 3})
    assert found["model.width"] == 512
    assert "other.width" not in found


def test_a_place_that_the_list_lacks_is_told() -> None:
    node = UiNode("1", "x", values=[7, 30])
    assert value_places(node, widgets_of(KSAMPLER)[:3], FILES) == [0, -1, 1]


def test_values_may_be_stored_by_name() -> None:
    assert values(KSAMPLER, {"steps": 9, "videopreview": {}})["steps"] == 9
    assert "videopreview" not in values(KSAMPLER, {"videopreview": {}})


def test_required_widgets_come_before_optional_ones() -> None:
    spec = NodeSpec(
        "A", (InputSpec("late", "INT", "optional"), InputSpec("first", "STRING"), InputSpec("socket", "IMAGE"))
    )
    assert [widget.name for widget in widgets_of(spec)] == ["first", "late"]
    assert values(spec, ["text", 5]) == {"first": "text", "late": 5}


def test_a_forced_input_has_no_widget() -> None:
    spec = NodeSpec("A", (InputSpec("x", "INT", options={"forceInput": True}), InputSpec("y", "INT")))
    assert values(spec, [5]) == {"y": 5}


def test_old_sampler_names_lose_their_prefix() -> None:
    assert values(KSAMPLER, [7, "fixed", 20, 8.0, "sample_heun"])["sampler_name"] == "heun"


def test_a_node_of_unknown_class_keeps_what_is_named() -> None:
    sockets = (Socket("image", "IMAGE"), Socket("n", "INT", None, True), Socket("s", "STRING", None, True))
    assert values(None, [5, "x"], inputs=sockets) == {"n": 5, "s": "x"}
    assert values(None, {"a": 1}) == {"a": 1}
    assert values(None, [5]) == {}
    assert values(None, [5, "increment", "x"], inputs=sockets) == {"n": 5, "s": "x"}
    assert values(None, [5, None, "x"], named_values={"n": 1, "gap": 2, "upload": 3}) == {"n": 5}
    assert values(None, [5], named_values={"n": 1, "s": "y"}) == {"n": 1, "s": "y"}


@pytest.mark.parametrize(
    ("port", "default"),
    [
        (InputSpec("x", "INT", options={"default": 5, "min": 1}), 5),
        (InputSpec("x", "INT", options={"min": 1}), 1),
        (InputSpec("x", "INT"), 0),
        (InputSpec("x", "FLOAT"), 0.0),
        (InputSpec("x", "STRING"), ""),
        (InputSpec("x", "BOOLEAN"), False),
        (InputSpec("x", ("a", "b")), "a"),
        (InputSpec("x", "COMBO", options={"options": ["p", "q"]}), "p"),
        (InputSpec("x", (), folder="input"), "cat.png"),
        (InputSpec("x", (), folder="checkpoints"), None),
        (InputSpec("x", ()), None),
        (InputSpec("x", "COLOR"), ""),
        (InputSpec("x", "MODEL"), None),
        (InputSpec("x", "INT", options={"min": -5}), 0),
        (InputSpec("x", "FLOAT", options={"max": -1.0}), -1.0),
        (InputSpec("x", ("a", "b"), options={"default": "gone"}), "a"),
        (InputSpec("x", "COMBO", options={"default": "remote"}), "remote"),
    ],
)
def test_fresh_widgets(port: InputSpec, default: Any) -> None:
    assert default_of(port, FILES) == default


def test_a_combo_without_options_is_left_out() -> None:
    spec = NodeSpec("Load", (InputSpec("ckpt_name", (), folder="checkpoints"),))
    assert values(spec, []) == {}
    assert values(spec, ["a.safetensors"]) == {"ckpt_name": "a.safetensors"}

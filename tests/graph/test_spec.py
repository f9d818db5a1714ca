from __future__ import annotations

import json

from app.graph.spec import InputSpec, NodeSpec, OutputSpec, object_info, spec_from_json, spec_to_json

SPEC = NodeSpec(
    id="Loader",
    inputs=(
        InputSpec("late", "INT", "optional", {"default": 1}),
        InputSpec("ckpt_name", (), folder="checkpoints", options={"tooltip": "which"}, also=("none",)),
        InputSpec("mode", ("a", "b", 3)),
    ),
    outputs=(OutputSpec("MODEL", "MODEL", tooltip="the model"), OutputSpec("LIST", ("x", "y"), is_list=True)),
    hidden={"graph": "PROMPT"},
    display_name="Load",
    category="loaders",
    help="Loads.",
    search_aliases=("open",),
    validator_inputs=("mode",),
    accepts_any_input=True,
    checks_links=True,
)


def test_a_spec_travels_as_json() -> None:
    assert spec_from_json(json.loads(json.dumps(spec_to_json(SPEC)))) == SPEC


def test_a_spec_from_an_older_peer_is_read() -> None:
    data = spec_to_json(SPEC)
    del data["validator_inputs"], data["accepts_any_input"], data["checks_links"]
    assert spec_from_json(data).validator_inputs == ()
    assert not spec_from_json(data).checks_links


def test_inputs_are_found_by_name() -> None:
    mode = SPEC.input("mode")
    assert mode is not None and mode.type == ("a", "b", 3)
    assert SPEC.input("nothing") is None


def test_object_info_has_the_shape_that_clients_know() -> None:
    info = object_info(SPEC, {"checkpoints": ("one.safetensors",)})
    assert info["input"] == {
        "required": {"ckpt_name": [["one.safetensors", "none"], {"tooltip": "which"}], "mode": [["a", "b", 3], {}]},
        "optional": {"late": ["INT", {"default": 1}]},
        "hidden": {"graph": "PROMPT"},
    }
    assert info["input_order"] == {"required": ["ckpt_name", "mode"], "optional": ["late"], "hidden": ["graph"]}
    assert info["output"] == ["MODEL", ["x", "y"]]
    assert info["output_is_list"] == [False, True]
    assert info["output_name"] == ["MODEL", "LIST"]
    assert info["name"] == "Loader"
    assert info["display_name"] == "Load"
    assert info["output_node"] is False


def test_a_folder_that_nobody_knows_has_no_files() -> None:
    assert object_info(SPEC, {})["input"]["required"]["ckpt_name"][0] == ["none"]

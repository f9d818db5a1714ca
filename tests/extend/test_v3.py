from __future__ import annotations

import importlib
import json
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from app.engine.node import Blocker, Returned
from app.extend.classes import pack_nodes
from app.extend.facade.bridge import FacadeHost
from app.extend.v3 import V3Node, v3_spec
from app.graph.spec import spec_from_json, spec_to_json
from tests.extend.facade.conftest import context, host, said

__all__ = ["context", "host", "said"]


@pytest.fixture
def io(host: FacadeHost) -> Any:
    return importlib.import_module("comfy_api.latest").io


def made(io: Any, body: Any, *, inputs: Any = (), outputs: Any = None, **schema: Any) -> V3Node:
    outputs = [io.Int.Output()] if outputs is None else outputs

    class Made(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> Any:
            return io.Schema(node_id="Made", inputs=list(inputs), outputs=list(outputs), **schema)

        execute = classmethod(body)

    return V3Node(v3_spec(Made, "", "custom_nodes.x"), Made)


def returned(node: V3Node, **inputs: Any) -> Returned:
    result = node.call(SimpleNamespace(node_id="1"), inputs)
    assert isinstance(result, Returned)
    return result


def test_a_schema_says_all(io: Any) -> None:
    node = made(
        io,
        lambda cls: None,
        inputs=[
            io.Int.Input("count", default=3, min=1, max=9, step=2, control_after_generate=True),
            io.Float.Input("part", default=0.5, round=0.01),
            io.String.Input("text", multiline=True, dynamic_prompts=True, placeholder="say"),
            io.Boolean.Input("on", default=True, label_on="yes", label_off="no"),
            io.Combo.Input("mode", options=["a", "b"], tooltip="which", advanced=True),
            io.MultiCombo.Input("several", options=["a", "b"], default=["a"]),
            io.Image.Input("image", optional=True, lazy=True),
            io.Custom("ACME").Input("own", raw_link=True),
            io.MultiType.Input("either", types=[io.Image, io.Mask]),
            io.MultiType.Input(io.Float.Input("number", default=1.0), types=[io.Float, io.Int]),
        ],
        outputs=[
            io.Image.Output(id="picture", display_name="the picture", tooltip="tip"),
            io.Int.Output(is_output_list=True),
        ],
        display_name="Made up",
        description="Does it.",
        search_aliases=["x"],
        essentials_category="Basics",
        is_output_node=True,
        is_deprecated=True,
        is_experimental=True,
        not_idempotent=True,
        hidden=[io.Hidden.unique_id],
    )
    spec = node.spec
    assert spec.essentials_category == "Basics"
    ports = {port.name: port for port in spec.inputs}
    assert dict(ports["count"].options) == {"default": 3, "min": 1, "max": 9, "step": 2, "control_after_generate": True}
    assert ports["text"].options["dynamicPrompts"] is True
    assert ports["on"].options["label_off"] == "no"
    assert ports["mode"].type == "COMBO" and ports["mode"].options["options"] == ["a", "b"]
    assert ports["several"].options["multi_select"] == {"placeholder": "", "chip": False}
    assert (ports["image"].section, ports["image"].options["lazy"]) == ("optional", True)
    assert (ports["own"].type, ports["own"].options["rawLink"]) == ("ACME", True)
    assert ports["either"].type == "IMAGE,MASK"
    assert ports["number"].type == "FLOAT,INT" and ports["number"].options["default"] == 1.0
    assert [(port.name, port.type, port.is_list) for port in spec.outputs] == [
        ("the picture", "IMAGE", False),
        ("INT", "INT", True),
    ]
    assert dict(spec.hidden) == {
        "unique_id": "UNIQUE_ID",
        "prompt": "PROMPT",
        "extra_pnginfo": "EXTRA_PNGINFO",
    }
    assert spec.output_node and spec.deprecated and spec.experimental and spec.not_idempotent
    assert not (spec.has_validator or spec.has_fingerprint)
    assert spec_from_json(json.loads(json.dumps(spec_to_json(spec)))) == spec


@pytest.mark.parametrize("name", ["count", "picture"])
def test_names_are_unique_over_inputs_and_outputs(io: Any, name: str) -> None:
    with pytest.raises(TypeError, match=name):
        made(
            io,
            lambda cls: None,
            inputs=[io.Int.Input("count"), io.Int.Input(name)],
            outputs=[io.Image.Output(id="picture")],
        )


def test_results_of_every_form(io: Any) -> None:
    assert returned(made(io, lambda cls: io.NodeOutput(3))).values == (3,)
    assert returned(made(io, lambda cls: (3,))).values == (3,)
    assert returned(made(io, lambda cls: 3)).values == (3,)
    assert returned(made(io, lambda cls: {"result": (3,), "ui": {"text": "x"}})).ui == {"text": ["x"]}
    assert returned(made(io, lambda cls: None)).values == ()
    blocked = returned(made(io, lambda cls: io.NodeOutput(block_execution="no"))).values
    assert blocked == (Blocker("no"),)
    assert returned(made(io, lambda cls: Blocker(None))).values == (Blocker(None),)
    shown = importlib.import_module("comfy_api.latest").ui.PreviewText("hi")
    assert returned(made(io, lambda cls: io.NodeOutput(ui=shown), outputs=[])).ui == {"text": ["hi"]}


def test_an_expansion_must_be_announced(io: Any) -> None:
    graph = {"a": {"class_type": "X", "inputs": {}}}

    def expand(cls: Any) -> Any:
        return io.NodeOutput(["a", 0], expand=graph)

    assert returned(made(io, expand, enable_expand=True)).expand == graph
    with pytest.raises(TypeError, match="enable_expand"):
        returned(made(io, expand))


def test_hidden_inputs_stand_on_the_class(io: Any) -> None:
    def tell(cls: Any, value: int) -> Any:
        return io.NodeOutput((value, cls.hidden.unique_id, cls.hidden.prompt))

    node = made(io, tell, inputs=[io.Int.Input("value")], hidden=[io.Hidden.unique_id])
    assert returned(node, value=2, unique_id="9").values == ((2, "9", None),)
    assert node.kind.hidden.unique_id is None


def test_nothing_can_be_left_on_the_class(io: Any) -> None:
    def keep(cls: Any) -> Any:
        cls.kept = 1

    with pytest.raises(AttributeError, match="kept cannot be set"):
        returned(made(io, keep))


async def test_coroutines_are_awaited(io: Any) -> None:
    async def later(cls: Any) -> Any:
        return io.NodeOutput(4)

    node = made(io, later)
    assert node.spec.is_async
    result: Any = node.call(SimpleNamespace(node_id="1"), {})
    assert (await result).values == (4,)


def test_groups_of_inputs_come_as_dicts(io: Any) -> None:
    heard: dict[str, Any] = {}

    def hear(cls: Any, **inputs: Any) -> Any:
        heard.update(inputs)

    option = io.DynamicCombo.Option("scaled", [io.Int.Input("factor"), io.Image.Input("image", optional=True)])
    names = io.Autogrow.TemplateNames(io.Image.Input("image"), names=["first", "second"], min=1)
    node = made(
        io,
        hear,
        inputs=[io.Autogrow.Input("images", template=names), io.DynamicCombo.Input("how", options=[option])],
        outputs=[],
    )
    assert node.spec.accepts_any_input
    ports = {port.name: port for port in node.spec.inputs}
    assert ports["images"].section == "optional"
    assert ports["how"].options["options"][0]["inputs"]["required"]["factor"][0] == "INT"
    returned(node, **{"images.first": 1, "images.second": 2, "how": "scaled", "how.factor": 3})
    assert heard == {"images": {"first": 1, "second": 2}, "how": {"how": "scaled", "factor": 3}}


def test_sockets_come_with_what_they_bring_and_rows_as_a_list(io: Any) -> None:
    heard: dict[str, Any] = {}

    def hear(cls: Any, **inputs: Any) -> Any:
        heard.update(inputs)

    row = [io.String.Input("name"), io.Float.Input("weight", default=1.0, optional=True)]
    inputs = [
        io.DynamicSlot.Input(io.Image.Input("guide", optional=True), inputs=[io.Float.Input("amount", default=0.5)]),
        io.DynamicGroup.Input("rows", template=row, max=5, group_name="Row"),
    ]
    node = made(io, hear, inputs=inputs, outputs=[])
    ports = {port.name: port for port in node.spec.inputs}
    assert (ports["guide"].type, ports["guide"].section) == ("COMFY_DYNAMICSLOT_V3", "optional")
    assert ports["guide"].options["slotType"] == "IMAGE"
    assert list(ports["guide"].options["inputs"]["required"]) == ["amount"]
    assert ports["rows"].section == "optional", "it is never sent itself"
    told = {name: value for name, value in ports["rows"].options.items() if name != "template"}
    assert told == {"min": 0, "max": 5, "group_name": "Row"}
    assert ports["rows"].options["template"]["optional"] == {"weight": ["FLOAT", {"default": 1.0}]}
    returned(node, **{"guide": 1, "guide.amount": 0.7, "rows.0.name": "a", "rows.2.name": "c", "rows.2.weight": 2.0})
    assert heard == {
        "guide": {"guide": 1, "amount": 0.7},
        "rows": [{"name": "a", "weight": None}, {"name": None, "weight": None}, {"name": "c", "weight": 2.0}],
    }
    returned(node, **{"rows.999999999.name": "far", "rows.x.name": "odd"})
    assert heard == {"guide": {}, "rows": []}


def test_hooks_of_its_own(io: Any) -> None:
    class Hooked(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> Any:
            return io.Schema(node_id="Hooked", inputs=[io.Int.Input("a"), io.Int.Input("b", lazy=True)], outputs=[])

        @classmethod
        def validate_inputs(cls, a: int) -> Any:
            return a < 5 or f"{a} is too much"

        @classmethod
        async def fingerprint_inputs(cls, a: int, **rest: Any) -> Any:
            return a * 2

        @classmethod
        def check_lazy_status(cls, a: int, b: Any = None) -> Any:
            return ["b"] if a else []

    node = V3Node(v3_spec(Hooked, "", "m"), Hooked)
    assert node.spec.has_validator and node.spec.has_fingerprint
    assert node.spec.validator_inputs == ("a",)
    assert node.validate({"a": 7, "b": 1}, {}) == "7 is too much"
    assert node.validate({"a": 1, "b": 1}, {}) is None
    assert node.fingerprint({"a": 3, "b": None}) == 6
    assert list(node.needed({"a": 1, "b": None})) == ["b"]
    assert list(node.needed({"a": 0, "b": None})) == []


def test_without_a_check_all_lazy_inputs_are_needed(io: Any) -> None:
    node = made(io, lambda cls: None, inputs=[io.Int.Input("a", lazy=True), io.Int.Input("b")])
    assert list(node.needed({"a": None, "b": None})) == ["a"]


def test_an_entry_point_gives_classes_and_one_bad_class_harms_no_other(io: Any) -> None:
    latest = importlib.import_module("comfy_api.latest")

    class Good(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> Any:
            return io.Schema(node_id="Good", inputs=[], outputs=[])

    class Bad(io.ComfyNode):
        pass

    class Extension(latest.ComfyExtension):
        async def get_node_list(self) -> Any:
            return [Good, Bad]

    module = ModuleType("pack")

    async def entry() -> Any:
        return Extension()

    module.comfy_entrypoint = entry  # type: ignore[attr-defined]
    problems: list[str] = []
    assert list(pack_nodes(module, "custom_nodes.pack", problems=problems)) == ["Good"]
    assert "Bad" in problems[0]
    with pytest.raises(TypeError, match="define_schema"):
        pack_nodes(module, "custom_nodes.pack")


def test_earlier_states_of_the_interface_are_served(io: Any) -> None:
    for name in ("v0_0_1", "v0_0_2"):
        assert importlib.import_module(f"comfy_api.{name}").io is io


@pytest.mark.parametrize(
    ("name", "kind"), [("Vae", "VAE"), ("AnyType", "*"), ("LatentUpscaleModel", "LATENT_UPSCALE_MODEL")]
)
def test_types_by_name(io: Any, name: str, kind: str) -> None:
    assert getattr(io, name).Input("x").get_io_type() == kind
    assert getattr(io, name).Output().get_io_type() == kind
    with pytest.raises(AttributeError):
        _ = io.NoSuchType

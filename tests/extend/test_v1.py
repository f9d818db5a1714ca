from __future__ import annotations

import inspect
import json
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from app.engine.node import Blocker, Returned
from app.extend.classes import pack_nodes
from app.extend.v1 import PROBE, V1Node, v1_spec
from app.graph.spec import object_info, spec_from_json, spec_to_json


class Everything:
    """A class that uses what there is."""

    DESCRIPTION = "Does everything."
    CATEGORY = "acme/all"
    FUNCTION = "run"
    RETURN_TYPES = ("IMAGE", ["a", "b"], "INT")
    RETURN_NAMES = ("picture", "choice")
    OUTPUT_IS_LIST = (False, True)
    OUTPUT_TOOLTIPS = ("the picture",)
    OUTPUT_NODE = True
    INPUT_IS_LIST = True
    NOT_IDEMPOTENT = True
    DEPRECATED = True
    EXPERIMENTAL = True
    SEARCH_ALIASES = ("all",)
    ESSENTIALS_CATEGORY = "Basics"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "image": ("IMAGE",),
                "mode": (["x", "y"], {"default": "x"}),
                "count": ("INT", {"default": 1, "min": 0, "max": 9, "convert": print}),
            },
            "optional": {"later": ("LATENT", {"lazy": True})},
            "hidden": {"unique_id": "UNIQUE_ID", "prompt": ("PROMPT",)},
        }

    def run(self, **inputs: Any) -> tuple[Any, ...]:
        return "picture", ["a"], 3

    @classmethod
    def IS_CHANGED(cls, count: int) -> int:
        return count * 2

    @classmethod
    def VALIDATE_INPUTS(cls, count: int, input_types: dict[str, str]) -> bool | str:
        return count < 5 or f"{count} is too many for {input_types}"

    def check_lazy_status(self, count: int, later: Any = None) -> list[str]:
        return ["later"] if count else []


def context(node_id: str = "1") -> Any:
    return SimpleNamespace(node_id=node_id)


def node(kind: type[Any]) -> V1Node:
    return V1Node(v1_spec("Test", kind, "", "custom_nodes.acme"), kind)


def returned(kind: type[Any], **inputs: Any) -> Returned:
    result = node(kind).call(context(), inputs)
    assert isinstance(result, Returned)
    return result


def with_result(result: Any, types: tuple[str, ...] = ("INT",)) -> type[Any]:
    class Gives:
        FUNCTION = "go"
        RETURN_TYPES = types

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {}

        def go(self) -> Any:
            return result

    return Gives


def test_all_that_a_class_says_is_in_the_spec() -> None:
    spec = v1_spec("All", Everything, "All of it", "custom_nodes.acme")
    assert [(port.name, port.type, port.section) for port in spec.inputs] == [
        ("image", "IMAGE", "required"),
        ("mode", ("x", "y"), "required"),
        ("count", "INT", "required"),
        ("later", "LATENT", "optional"),
    ]
    assert [(port.name, port.type, port.is_list, port.tooltip) for port in spec.outputs] == [
        ("picture", "IMAGE", False, "the picture"),
        ("choice", ("a", "b"), True, ""),
        ("INT", "INT", False, ""),
    ]
    assert spec.hidden == {"unique_id": "UNIQUE_ID", "prompt": "PROMPT"}
    assert (spec.display_name, spec.category, spec.help) == ("All of it", "acme/all", "Does everything.")
    assert spec.output_node and spec.input_is_list and spec.not_idempotent and spec.deprecated and spec.experimental
    assert spec.has_validator and spec.has_fingerprint
    assert spec.validator_inputs == ("count", "input_types")
    assert spec.search_aliases == ("all",)
    assert spec.essentials_category == "Basics"
    assert object_info(spec, {})["essentials_category"] == "Basics"


def test_the_spec_travels_as_json_whatever_a_pack_put_into_its_options() -> None:
    spec = v1_spec("All", Everything, "", "custom_nodes.acme")
    assert spec_from_json(json.loads(json.dumps(spec_to_json(spec)))) == spec


@pytest.mark.parametrize("name", ["INPUT_TYPES", "FUNCTION", "RETURN_TYPES"])
def test_what_lacks_is_named(name: str) -> None:
    kind = type("Lacking", (), {k: v for k, v in vars(Everything).items() if k != name and not k.startswith("__")})
    with pytest.raises(TypeError, match=name):
        v1_spec("Lacking", kind, "", "")


class Anything(str):
    """What packs write for a type that fits all."""

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


def test_types_are_plain_texts_afterwards() -> None:
    spec = v1_spec("A", with_result((1,), (Anything("*"),)), "", "")
    assert type(spec.outputs[0].type) is str
    assert spec.outputs[0].type == "*"


def test_a_type_that_differs_from_nothing_is_any_type_whatever_it_is_called() -> None:
    class Same(str):
        """A subclass that compares like any text."""

    spec = v1_spec("A", with_result((1,), (Anything("any value"), Same("IMAGE"))), "", "")
    assert [port.type for port in spec.outputs] == ["*", "IMAGE"]


def test_a_mapping_with_every_name_accepts_any_input() -> None:
    class Flexible(dict[str, Any]):
        def __contains__(self, key: object) -> bool:
            return True

        def __getitem__(self, key: str) -> Any:
            return ("*",)

    class Takes(Everything):
        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"optional": Flexible()}

    assert PROBE in Flexible()
    assert v1_spec("T", Takes, "", "").accepts_any_input
    assert not v1_spec("T", Everything, "", "").accepts_any_input


@pytest.mark.parametrize(
    ("result", "values"),
    [((5,), (5,)), ([5], (5,)), (5, (5,)), ({"result": (5,)}, (5,)), (None, ()), ((5, 6, 7), (5,))],
)
def test_results_of_every_form(result: Any, values: tuple[Any, ...]) -> None:
    assert returned(with_result(result)).values == values


def test_ui_and_expansion_are_handed_on() -> None:
    result = returned(with_result({"ui": {"text": "one", "images": ({"filename": "a"},)}, "result": (1,)}))
    assert result.ui == {"text": ["one"], "images": [{"filename": "a"}]}
    graph = {"a": {"class_type": "X", "inputs": {}}}
    assert returned(with_result({"expand": graph, "result": (["a", 0],)})).expand == graph


def test_a_blocker_blocks_every_output() -> None:
    blocker = Blocker("stop")
    assert returned(with_result(blocker, ("INT", "INT"))).values == (blocker, blocker)


async def test_coroutines_are_awaited() -> None:
    class Later(with_result(None)):
        async def go(self) -> tuple[int]:
            return (4,)

    result = node(Later).call(context(), {})
    assert inspect.isawaitable(result)
    assert (await result).values == (4,)


def test_one_instance_for_each_node_of_the_graph() -> None:
    class Remembers(with_result(None)):
        def __init__(self) -> None:
            self.calls = 0

        def go(self) -> tuple[int]:
            self.calls += 1
            return (self.calls,)

    remembers = node(Remembers)
    calls = [remembers.call(context(node_id), {}) for node_id in ("1", "2", "1")]
    assert [result.values for result in calls if isinstance(result, Returned)] == [(1,), (1,), (2,)]


def test_hooks_get_the_inputs_that_they_name() -> None:
    everything = node(Everything)
    assert everything.fingerprint({"count": 4, "mode": "x"}) == 8
    assert everything.validate({"count": 4, "mode": "x"}, {}) is None
    assert everything.validate({"count": 7}, {"image": "IMAGE"}) == "7 is too many for {'image': 'IMAGE'}"
    assert list(everything.needed({"count": 1, "later": None})) == ["later"]
    assert list(everything.needed({"count": 0, "later": None})) == []
    assert list(everything.needed({"count": 1, "later": "there"})) == []


def test_a_validator_that_says_false_complains_without_words() -> None:
    class Refuses(with_result(None)):
        @classmethod
        def VALIDATE_INPUTS(cls, **inputs: Any) -> bool:
            return False

    refuses = node(Refuses)
    assert refuses.spec.validator_inputs == ("*",)
    assert refuses.validate({"a": 1}, {}) == ""


def test_without_a_check_all_lazy_inputs_are_needed() -> None:
    class Plain(with_result(None)):
        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"a": ("INT", {"lazy": True}), "b": ("INT", {})}}

    assert list(node(Plain).needed({"a": None, "b": None})) == ["a"]


def test_a_module_without_mappings_has_no_nodes() -> None:
    assert pack_nodes(ModuleType("empty"), "custom_nodes.empty") == {}

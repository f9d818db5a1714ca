"""Inputs that a saved graph offers: marks, schemas, values."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import InvalidRequest
from app.graph.marked_inputs import inputs_schema, marked_inputs, with_inputs
from app.graph.prompt import Prompt, parse_prompt
from app.graph.spec import InputSpec, NodeSpec

SPECS = {
    "Sampler": NodeSpec(
        "Sampler",
        (
            InputSpec("model", "MODEL"),
            InputSpec("seed", "INT", options={"min": 0, "max": 100, "tooltip": "Of the noise."}),
            InputSpec("cfg", "FLOAT", options={"min": 0.0, "max": 30.0}),
            InputSpec("sampler", ("euler", "heun")),
            InputSpec("tiled", "BOOLEAN"),
        ),
    ),
    "Text": NodeSpec("Text", (InputSpec("text", "STRING"),)),
    "Load": NodeSpec("Load", (InputSpec("image", ("a.png",), folder="input"),)),
    "Curve": NodeSpec("Curve", (InputSpec("curve", "COLOR"),)),
}
FILES = {"input": ("a.png", "b.png")}
VALUES = {"seed": 7, "cfg": 3.5, "sampler": "euler", "tiled": False, "model": ["9", 0]}


def graph(**titles: str) -> Prompt:
    """A sampler, a text and a picture with these titles."""
    nodes: dict[str, Any] = {
        "sampler": {"class_type": "Sampler", "inputs": VALUES},
        "text": {"class_type": "Text", "inputs": {"text": "a cat"}},
        "load": {"class_type": "Load", "inputs": {"image": "a.png"}},
    }
    return parse_prompt({name: {**nodes[name], "_meta": {"title": title}} for name, title in titles.items()})


def test_a_title_offers_the_first_free_value() -> None:
    (offered,) = marked_inputs(graph(text="input:prompt", sampler="KSampler"), SPECS, FILES)
    assert (offered.name, offered.node_id, offered.port.name, offered.default) == ("prompt", "text", "text", "a cat")
    (offered,) = marked_inputs(graph(sampler="Input:number"), SPECS, FILES)
    assert offered.port.name == "seed", "a linked input is no value"


def test_a_title_offers_several_by_name() -> None:
    offered = marked_inputs(graph(sampler="input:seed, how@sampler ,strength@cfg"), SPECS, FILES)
    assert [(each.name, each.port.name) for each in offered] == [
        ("seed", "seed"), ("how", "sampler"), ("strength", "cfg"),
    ]  # fmt: skip


def test_the_schema_says_what_each_takes() -> None:
    prompt = graph(sampler="input:seed, cfg@cfg, how@sampler, tiled@tiled", text="input:prompt", load="input:picture")
    schema = inputs_schema(marked_inputs(prompt, SPECS, FILES))
    assert schema["additionalProperties"] is False
    assert schema["properties"] == {
        "seed": {"type": "integer", "minimum": 0, "maximum": 100, "default": 7, "description": "Of the noise."},
        "cfg": {"type": "number", "minimum": 0.0, "maximum": 30.0, "default": 3.5},
        "how": {"enum": ["euler", "heun"], "default": "euler"},
        "tiled": {"type": "boolean", "default": False},
        "prompt": {"type": "string", "default": "a cat"},
        "picture": {"type": "string", "default": "a.png", "examples": ["a.png", "b.png"]},
    }


def test_values_take_their_places() -> None:
    prompt = graph(sampler="input:seed, cfg@cfg, tiled@tiled", text="input:prompt")
    marked = marked_inputs(prompt, SPECS, FILES)
    changed = with_inputs(prompt, marked, {"seed": 9, "cfg": 2, "tiled": True, "prompt": "a dog"})
    assert changed.nodes["sampler"].inputs == {**prompt.nodes["sampler"].inputs, "seed": 9, "cfg": 2, "tiled": True}
    assert changed.nodes["text"].inputs == {"text": "a dog"}
    assert prompt.nodes["text"].inputs == {"text": "a cat"}, "the saved graph stays"
    assert with_inputs(prompt, marked, {}) == prompt


def test_one_name_may_set_several_values() -> None:
    nodes = {
        "1": {"class_type": "Text", "inputs": {"text": "a cat"}, "_meta": {"title": "input:prompt"}},
        "5:2": {"class_type": "Text", "inputs": {"text": "b"}, "_meta": {"title": "input:word"}},
        "5:3": {"class_type": "Text", "inputs": {"text": "c"}, "_meta": {"title": "input:prompt, word"}},
        "6:2": {"class_type": "Text", "inputs": {"text": "d"}, "_meta": {"title": "input:word"}},
    }
    prompt = parse_prompt(nodes)
    marked = marked_inputs(prompt, SPECS, FILES)
    assert [each.name for each in marked] == ["prompt", "5.word", "5.prompt", "6.word"]
    changed = with_inputs(prompt, marked, {"5.word": "new"})
    assert [node.inputs["text"] for node in changed.nodes.values()] == ["a cat", "new", "new", "d"]
    with pytest.raises(InvalidRequest, match="Nodes 1 and 2 both offer 'a'"):
        marked_inputs(
            parse_prompt(
                {
                    "1": {"class_type": "Sampler", "inputs": VALUES, "_meta": {"title": "input:a@seed"}},
                    "2": {"class_type": "Sampler", "inputs": VALUES, "_meta": {"title": "input:a@cfg"}},
                }
            ),
            SPECS,
            FILES,
        )


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("seed", 101, "from 0 to 100"), ("seed", -1, "out of range"), ("seed", 1.5, "a whole number"),
        ("seed", True, "a whole number"), ("seed", "7", "a whole number"), ("cfg", float("nan"), "a number"),
        ("cfg", None, "a number"), ("how", "dpm", "euler, heun"), ("how", ["euler"], "none of the choices"),
        ("tiled", 1, "true or false"), ("prompt", 5, "it must be text"), ("picture", {}, "it must be text"),
        ("nothing", 1, "seed, cfg, how, tiled, prompt, picture"),
    ],
)  # fmt: skip
def test_refusals_name_the_input_and_the_way_out(name: str, value: object, told: str) -> None:
    prompt = graph(sampler="input:seed, cfg@cfg, how@sampler, tiled@tiled", text="input:prompt", load="input:picture")
    with pytest.raises(InvalidRequest) as refused:
        with_inputs(prompt, marked_inputs(prompt, SPECS, FILES), {name: value})
    assert repr(name) in refused.value.message
    assert told in str(refused.value)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("titles", "told"),
    [
        ({"sampler": "input:a@nothing"}, "seed, cfg, sampler, tiled"),
        ({"sampler": "input:a@model"}, "no free value"),
        ({"sampler": "input:"}, "offers no name"),
        ({"sampler": "input:a/b"}, "offers no name"),
        ({"sampler": "input:a", "text": "input:a"}, "both offer 'a'"),
    ],
)
def test_marks_that_cannot_be_followed(titles: dict[str, str], told: str) -> None:
    with pytest.raises(InvalidRequest, match=r"Rename|Title") as refused:
        marked_inputs(graph(**titles), SPECS, FILES)
    assert told in str(refused.value)


def test_nodes_that_nobody_knows_offer_nothing() -> None:
    prompt = parse_prompt({"1": {"class_type": "Gone", "inputs": {"a": 1}, "_meta": {"title": "input:a"}}})
    with pytest.raises(InvalidRequest, match="no free value"):
        marked_inputs(prompt, SPECS, FILES)


def test_a_type_of_a_pack_takes_anything() -> None:
    prompt = parse_prompt({"1": {"class_type": "Curve", "inputs": {"curve": "#fff"}, "_meta": {"title": "input:a"}}})
    (offered,) = marked_inputs(prompt, SPECS, FILES)
    assert offered.schema() == {"default": "#fff"}
    assert offered.checked("#000") == "#000"

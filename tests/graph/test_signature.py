"""Which runs of a node ought to cost the same."""

from __future__ import annotations

from typing import Any

import pytest

from app.graph.prompt import Link, PromptNode
from app.graph.signature import Signature, signature
from app.graph.spec import InputSpec, NodeSpec

SPEC = NodeSpec(
    "Sampler",
    (
        InputSpec("seed", "INT", options={"control_after_generate": True}),
        InputSpec("steps", "INT"),
        InputSpec("cfg", "FLOAT"),
        InputSpec("name", ("euler", "heun")),
        InputSpec("text", "STRING"),
        InputSpec("latent", "LATENT"),
    ),
)
USUAL = {"seed": 1, "steps": 20, "cfg": 7.5, "name": "euler", "text": "a cat", "latent": Link("5", 0)}
PARENTS = {"5": Signature("big", "big")}


def of(parents: dict[str, Signature] = PARENTS, **changed: Any) -> Signature:
    return signature(PromptNode("1", "Sampler", {**USUAL, **changed}), SPEC, parents)


@pytest.mark.parametrize("changed", [{"seed": 2}, {"text": "a dog"}, {"undeclared": 7}])
def test_what_costs_nothing_does_not_count(changed: dict[str, Any]) -> None:
    assert of(**changed) == of()


@pytest.mark.parametrize("changed", [{"steps": 21}, {"name": "heun"}])
def test_sizes_and_choices_count(changed: dict[str, Any]) -> None:
    assert of(**changed).same != of().same
    assert of(**changed).alike != of().alike


def test_real_numbers_and_ancestors_count_for_the_same_but_not_for_the_alike() -> None:
    other = of({"5": Signature("small", "small")})
    assert other.same != of().same
    assert other.alike == of().alike
    assert of(cfg=1.0).same != of().same
    assert of(cfg=1.0).alike == of().alike


def test_the_id_does_not_count() -> None:
    assert signature(PromptNode("99", "Sampler", dict(USUAL)), SPEC, PARENTS) == of()

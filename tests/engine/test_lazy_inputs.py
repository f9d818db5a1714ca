"""Lazy inputs in a run: those of dynamic inputs, and those that can never come."""

from __future__ import annotations

from typing import Any

import pytest

from app.engine.events import RunFailed
from app.graph.returned import Returned
from app.graph.spec import InputSpec, NodeSpec, OutputSpec

GROWING_LAZY = InputSpec(
    "images",
    "COMFY_AUTOGROW_V3",
    "optional",
    {"template": {"input": {"required": {"image": ["*", {"lazy": True}]}}, "prefix": "i", "min": 0, "max": 9}},
)


def test_lazy_inputs_of_dynamic_inputs(bench: Any) -> None:
    class OneOf:
        """Needs the input with its number."""

        spec = NodeSpec(
            "OneOf",
            (InputSpec("number", "INT"), GROWING_LAZY),
            (OutputSpec("*", "*"),),
            accepts_any_input=True,
        )

        def needed(self, inputs: Any, node_id: str = "") -> list[str]:
            return [f"images.i{inputs['number']}"]

        def call(self, context: Any, inputs: Any) -> Returned:
            return Returned((sorted(name for name, value in inputs.items() if value is not None),))

    bench.nodes["OneOf"] = OneOf()
    bench.run(
        {
            "a": ("Constant", {"value": 1}),
            "f": ("Fail", {}),
            "p": ("OneOf", {"number": 0, "images.i0": ["a", 0], "images.i1": ["f", 0]}),
            "c": ("Show", {"value": ["p", 0]}),
        }
    )
    assert bench.shown() == {"c": [str(["images.i0", "number"])]}


@pytest.mark.parametrize(
    ("inputs", "why"),
    [({"a": None}, "waits for its input a, which is the constant null"), ({}, "needs its input a, which is not set")],
)
def test_a_lazy_input_that_cannot_come_is_refused(bench: Any, inputs: dict[str, Any], why: str) -> None:
    bench.run(
        {
            "b": ("Constant", {"value": 2}),
            "p": ("Pick", {"which": "a", "b": ["b", 0], **inputs}),
            "c": ("Show", {"value": ["p", 0]}),
        }
    )
    failed = bench.events[-1]
    assert isinstance(failed, RunFailed)
    assert failed.input_name == "a"
    assert (failed.node_id, why in failed.message, "Link a" in failed.remedy) == ("p", True, True)

"""What a class's own validator says is told before the graph is queued."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from app.errors import InvalidPrompt, Unavailable
from app.graph.prompt import parse_prompt
from app.graph.spec import NodeSpec, OutputSpec
from app.graph.validate import Validated, validate
from app.server.validators import ask_validators

SPECS = {
    "Load": NodeSpec("Load", (), (OutputSpec("X", "X"),), has_validator=True),
    "Plain": NodeSpec("Plain", (), (OutputSpec("X", "X"),)),
    "Show": NodeSpec("Show", (), output_node=True, accepts_any_input=True),
}
COMPLAINT = {"type": "custom_validation_failed", "message": "m", "details": "image - no such file", "extra_info": {}}


class Worker:
    """Answers like a dispatcher's worker, with these complaints or not at all."""

    def __init__(self, complaints: dict[str, Any] | None) -> None:
        self.complaints = complaints
        self.asked: list[Mapping[str, Any]] = []

    async def ask(self, about: str, data: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
        self.asked.append({"about": about, **data})
        if self.complaints is None:
            raise Unavailable("nobody")
        return {"complaints": self.complaints}


def valid(*loaders: str) -> Validated:
    graph: dict[str, Any] = {}
    for number, kind in enumerate(loaders):
        graph[f"l{number}"] = {"class_type": kind, "inputs": {}}
        graph[f"s{number}"] = {"class_type": "Show", "inputs": {"x": [f"l{number}", 0]}}
    return validate(parse_prompt(graph), SPECS, {})


async def test_a_refused_node_takes_its_outputs_along() -> None:
    worker: Any = Worker({"l0": [COMPLAINT]})
    left = await ask_validators(valid("Load", "Load"), SPECS, worker)
    assert left.outputs == ("s1",)
    assert left.node_errors["l0"]["errors"][0]["details"] == "image - no such file"
    assert worker.asked[0]["nodes"] == ["l0", "l1"]


async def test_nothing_left_is_a_refusal() -> None:
    worker: Any = Worker({"l0": [COMPLAINT]})
    with pytest.raises(InvalidPrompt) as refused:
        await ask_validators(valid("Load"), SPECS, worker)
    assert refused.value.kind == "prompt_outputs_failed_validation"


@pytest.mark.parametrize(("kind", "asked"), [("Plain", 0), ("Load", 1)])
async def test_who_has_no_validator_is_not_asked_and_no_worker_is_no_refusal(kind: str, asked: int) -> None:
    worker: Any = Worker(None)
    given = valid(kind)
    assert await ask_validators(given, SPECS, worker) is given
    assert len(worker.asked) == asked

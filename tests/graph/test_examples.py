"""The compiler against the examples that the editor's own compiler passes too (tests/web/core/examples.test.mjs)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from app.graph.prompt import prompt_to_json
from app.graph.wildcards import resolve_prompt
from app.graph.workflow import workflow_to_prompt
from tests.graph.classes import FOLDER, node_specs

EXAMPLES = sorted(path.name.removesuffix(".workflow.json") for path in FOLDER.glob("*.workflow.json"))


def _read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def test_there_are_examples_of_all_that_a_graph_may_hold() -> None:
    assert len(EXAMPLES) >= 11


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example(name: str) -> None:
    specs = node_specs()
    prompt = workflow_to_prompt(_read(f"{name}.workflow.json"), specs, now=datetime(2024, 3, 5, 7, 8, 9))
    resolved = resolve_prompt(prompt, specs, lambda count: count // 2)
    assert prompt_to_json(resolved) == _read(f"{name}.prompt.json")

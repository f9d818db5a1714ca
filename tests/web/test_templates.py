"""All workflows of the public template package: opened and saved unchanged, and compiled alike by both compilers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import comfyui_workflow_templates_json
import pytest

from app.graph.prompt import prompt_to_json
from app.graph.workflow import is_workflow, workflow_to_prompt
from tests.graph.classes import FOLDER, node_specs
from tests.web.test_core import NODE

TEMPLATES = Path(str(comfyui_workflow_templates_json.__file__)).parent / "templates"
SCRIPT = Path(__file__).parent / "templates" / "open_all.mjs"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the editor's core left each file as it saves it, and its prompt."""
    out = tmp_path_factory.mktemp("opened")
    command = [NODE, str(SCRIPT), str(TEMPLATES), str(FOLDER / "classes.json"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def workflows() -> dict[str, Any]:
    found = {path.stem: json.loads(path.read_text()) for path in sorted(TEMPLATES.glob("*.json"))}
    return {name: data for name, data in found.items() if is_workflow(data)}


def test_the_package_is_the_one_we_know(workflows: dict[str, Any]) -> None:
    assert len(workflows) == 644
    with_subgraphs = [data for data in workflows.values() if data.get("definitions", {}).get("subgraphs")]
    assert len(with_subgraphs) == 214


def test_what_was_opened_and_saved_means_the_same(workflows: dict[str, Any], opened: Path) -> None:
    """Another reader compares: Python keeps every digit of whole numbers."""
    different = [name for name, data in workflows.items() if _saved(opened, name) != data]
    assert different == []


def test_both_compilers_make_the_same_prompts(workflows: dict[str, Any], opened: Path) -> None:
    specs = node_specs()
    nodes = 0
    for name, data in workflows.items():
        ours = prompt_to_json(workflow_to_prompt(data, specs))
        theirs = json.loads((opened / f"{name}.prompt.json").read_text())
        assert theirs == ours, name
        nodes += len(ours)
    assert nodes > 7000


def _saved(opened: Path, name: str) -> Any:
    return json.loads((opened / f"{name}.saved.json").read_text())

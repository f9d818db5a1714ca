"""Graphs from files of every kind, with changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.desk import changed, graph_file, layout_of, prompt_of, read_graph
from app.errors import InvalidRequest, Missing
from app.graph.prompt import parse_prompt
from app.graph.replacements import Replacement, by_old_class
from app.graph.script import write_script
from app.graph.spec import InputSpec, NodeSpec
from app.settings import Settings
from app.wiring import dispatch

PROMPT: dict[str, Any] = {
    "3": {"class_type": "A", "inputs": {"seed": 1, "x": ["4", 0]}},
    "4": {"class_type": "B", "inputs": {}},
}
LAYOUT = {"version": 0.4, "nodes": [], "links": [], "last_node_id": 0, "last_link_id": 0, "groups": []}


def test_json_and_scripts_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(PROMPT))
    (tmp_path / "a.py").write_text(write_script(PROMPT, LAYOUT))
    assert read_graph(tmp_path / "a.json") == read_graph(tmp_path / "a.py") == PROMPT
    assert layout_of(tmp_path / "a.py") == LAYOUT
    assert layout_of(tmp_path / "a.json") is None


def test_what_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InvalidRequest, match="no JSON"):
        read_graph(tmp_path / "a.json")
    with pytest.raises(Missing, match="no file"):
        graph_file(tmp_path / "none.json")


def test_classes_of_before_become_what_stands_in_for_them() -> None:
    specs = {"Say": NodeSpec("Say", (InputSpec("text", "STRING"),), output_node=True)}
    offered = by_old_class([Replacement("Tell", "Say", ("message",), ({"new_id": "text", "old_id": "message"},))])
    node = {"id": 1, "type": "Tell", "widgets_values": ["hello"], "inputs": [], "outputs": []}
    plain = {"1": {"class_type": "Tell", "inputs": {"message": "hello"}}}
    for data in ({"nodes": [node], "links": []}, plain):
        (found,) = prompt_of(data, specs, {}, offered).nodes.values()
        assert (found.class_type, found.inputs) == ("Say", {"text": "hello"})
        assert prompt_of(data, specs, {}).nodes["1"].class_type == "Tell"


def test_changes_and_seeds() -> None:
    prompt = parse_prompt(PROMPT)
    assert changed(prompt, {("3", "seed"): 9}).nodes["3"].inputs["seed"] == 9
    assert changed(prompt, {}, 7).nodes["3"].inputs["seed"] == 7
    assert prompt.nodes["3"].inputs["seed"] == 1
    with pytest.raises(InvalidRequest, match=r"no input 3\.sed") as refused:
        changed(prompt, {("3", "sed"): 9})
    assert "3.seed" in refused.value.remedy


def export(base: Path, *words: str) -> None:
    assert (
        dispatch(Settings.from_arguments(["export", *words, "--base-directory", str(base), "--no-custom-nodes"])) == 0
    )


def test_dots_in_ids_and_inputs_are_understood() -> None:
    nodes = {"3": {"mode": "x", "mode.strength": 1}, "3.mode": {"strength": 2, "other": 3}}
    prompt = parse_prompt({name: {"class_type": "A", "inputs": inputs} for name, inputs in nodes.items()})
    assert changed(prompt, {("3.mode", "strength"): 9}).nodes["3.mode"].inputs["strength"] == 9
    del nodes["3.mode"]["strength"]
    prompt = parse_prompt({name: {"class_type": "A", "inputs": inputs} for name, inputs in nodes.items()})
    assert changed(prompt, {("3.mode", "strength"): 9}).nodes["3"].inputs["mode.strength"] == 9
    with pytest.raises(InvalidRequest, match="There is no input 3"):
        changed(prompt, {("3.mode", "weight"): 9})


def test_export_and_back(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(PROMPT))
    export(tmp_path, str(tmp_path / "a.json"), "--python", str(tmp_path / "a.py"))
    export(tmp_path, str(tmp_path / "a.py"), "--json", str(tmp_path / "b.json"))
    assert json.loads((tmp_path / "b.json").read_text()) == PROMPT
    with pytest.raises(InvalidRequest, match="no layout"):
        export(tmp_path, str(tmp_path / "a.py"), "--workflow", str(tmp_path / "c.json"))
    with pytest.raises(InvalidRequest, match="Nothing is to be written"):
        export(tmp_path, str(tmp_path / "a.py"))


def test_a_saved_workflow_keeps_its_layout_on_the_way(tmp_path: Path) -> None:
    saved = Path(__file__).parents[1] / "web" / "templates" / "default.json"
    export(tmp_path, str(saved), "--python", str(tmp_path / "a.py"), "--json", str(tmp_path / "a.json"))
    export(tmp_path, str(tmp_path / "a.py"), "--json", str(tmp_path / "b.json"), "--workflow", str(tmp_path / "c.json"))
    assert json.loads((tmp_path / "c.json").read_text()) == json.loads(saved.read_text())
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads((tmp_path / "b.json").read_text())
    assert "k_sampler = graph.node(" in (tmp_path / "a.py").read_text()

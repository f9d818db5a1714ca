"""A graph becomes a script and comes back as it was, read or run."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.graph.script import write_script
from app.graph.script_reader import read_script

ROOT = Path(__file__).parents[2]

texts = st.text(max_size=12) | st.sampled_from(
    ["it's", '"quoted"', "line\nbreak", "\\", "{x}", "日本", "'''", "\ud800"]
)
literals = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
ids = st.sampled_from(["1", "2", "3", "5:12", "a b", "class"])
links = st.tuples(ids, st.integers(0, 5)).map(list)
names = st.sampled_from(["seed", "images.image0", "class", "self", "id", "title", "x y", "größe", "inputs"]) | texts
nodes = st.fixed_dictionaries(
    {
        "inputs": st.dictionaries(names, literals | links, max_size=5),
        "class_type": st.sampled_from(["KSampler", "CLIPTextEncode", "Graph", "lambda", "3D", "??", "SaveImage"]),
    },
    optional={
        "_meta": st.fixed_dictionaries({"title": texts}) | literals,
        "is_changed": literals,
        "override_display_id": texts,
    },
)
prompts = st.dictionaries(ids | texts, nodes | literals, max_size=6)


def same(a: Any, b: Any) -> bool:
    """Equal as JSON texts: order, types, digits and NaN included. Node keys may be in any order."""
    if isinstance(a, dict) and isinstance(b, dict):
        return set(a) == set(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return a.hex() == b.hex() or (math.isnan(a) and math.isnan(b))
    return type(a) is type(b) and a == b


def run(script: str) -> tuple[Any, Any]:
    """What the script builds when it is run."""
    space: dict[str, Any] = {"__name__": "script"}
    exec(compile(script, "script", "exec"), space)
    return space["build"](), space["WORKFLOW"]


@settings(max_examples=300, deadline=None)
@given(prompt=prompts, workflow=st.none() | st.dictionaries(texts, literals, max_size=3))
@example(prompt={"1": {"class_type": "A", "inputs": {"x": ["1", 0]}}}, workflow=None)
@example(prompt={"2": {"class_type": "A", "inputs": {"x": 2**64 - 1, "y": -0.0, "z": 1e-320}}}, workflow={})
def test_it_comes_back(prompt: dict[str, Any], workflow: Any) -> None:
    script = write_script(prompt, workflow)
    for found, layout in (read_script(script), run(script)):
        assert same(found, prompt)
        assert list(found) == list(prompt)
        assert same(layout, workflow)
        for node_id, node in prompt.items():
            if isinstance(node, dict) and isinstance(node.get("inputs"), dict):
                assert list(found[node_id]["inputs"]) == list(node["inputs"])


def default_graph() -> dict[str, Any]:
    return json.loads((ROOT / "web" / "templates" / "default.api.json").read_text("utf-8"))


def test_it_is_pleasant_to_read() -> None:
    script = write_script(default_graph(), name="picture.py")
    assert "checkpoint_loader_simple = graph.node(" in script
    assert "clip=checkpoint_loader_simple[1]" in script
    assert "clip_text_encode_2 = graph.node(" in script
    assert "python picture.py --run" in script
    assert max(len(line) for line in script.splitlines()) <= 140


def test_it_runs_alone(tmp_path: Path) -> None:
    path = tmp_path / "picture.py"
    path.write_text(write_script(default_graph(), {"nodes": [], "version": 0.4}), "utf-8")
    done = subprocess.run([sys.executable, "-I", str(path)], capture_output=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout) == default_graph()


def test_a_saved_layout_is_wrapped_and_comes_back() -> None:
    layout = {"nodes": [{"id": n, "pos": [n * 100.5, 0], "widgets_values": ["x" * 50, None]} for n in range(9)]}
    script = write_script({}, layout)
    assert read_script(script).workflow == layout
    assert max(len(line) for line in script.splitlines()) <= 140


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("    for i in range(3):\n        graph.node(str(i), 'A')", "for i in range"),
        ("    a = graph.node('1', 'A', x=1 + 1)", "1 + 1"),
        ("    a = graph.node('1', 'A', x=open('/etc/passwd').read())", "open("),
        ("    a = graph.node('1', 'A', x=unknown[0])", "unknown[0]"),
        ("    import os", "import os"),
        ("    graph.order('7')", "graph.order"),
        ("    a = graph.node(1, 'A')", "graph.node(1"),
        ("    a = graph.node('1', 'A', x={1: 2})", "{1: 2}"),
        ("    a = graph.node('1', 'A', x=b'bytes')", "b'bytes'"),
    ],
)
def test_what_would_have_to_be_run_is_refused(body: str, line: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_script(f"def build():\n    graph = Graph()\n{body}\n    return graph.nodes\n")
    assert line in refused.value.message
    assert "Line 3" in refused.value.message or "Line 4" in refused.value.message
    assert refused.value.remedy


@pytest.mark.parametrize("text", ["", "x = 1", "def build(:", "\0", "(" * 5000])
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        read_script(text)


def test_calls_without_a_variable_are_read() -> None:
    script = "def build():\n    graph = Graph()\n    graph.node('1', 'A', x=-1)\n    return graph.nodes\n"
    assert read_script(script).prompt == {"1": {"inputs": {"x": -1}, "class_type": "A"}}

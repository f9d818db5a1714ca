"""`main.py test` runs the tests of a file on the real nodes and reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from app.wiring import dispatch

GRAPH: dict[str, Any] = {
    "a": {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 16, "batch_size": 1, "color": 255}},
    "b": {"class_type": "ImageInvert", "inputs": {"image": ["a", 0]}},
    "c": {"class_type": "SaveImage", "inputs": {"images": ["b", 0], "filename_prefix": "x"}},
    "n": {"class_type": "PrimitiveInt", "inputs": {"value": 5}},
    "t": {"class_type": "PreviewAny", "inputs": {"source": ["n", 0]}},
}


def exit_status(base: Path, data: Any, *words: str) -> int:
    (base / "graph.json").write_text(json.dumps(GRAPH))
    (base / "graph.test.json").write_text(json.dumps(data))
    path = base / "graph.test.json"
    said = ["test", str(path), "--base-directory", str(base), "--no-custom-nodes", "--cpu", *words]
    return dispatch(Settings.from_arguments(said))


def test_good_and_bad_tests_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = {
        "tests": [
            {
                "name": "size and text",
                "workflow": "graph.json",
                "expect": [{"node": "c", "size": [32, 16]}, {"node": "t", "text": "5"}, {"node": "c", "images": 1}],
            },
            {
                "name": "only the change runs",
                "workflow": "graph.json",
                "first": [{"n.value": 5}],
                "set": {"n.value": 6},
                "expect": [{"node": "b", "cached": True}, {"node": "t", "cached": False}, {"node": "t", "text": "6"}],
            },
            {
                "name": "refused",
                "workflow": "graph.json",
                "set": {"a.width": -1},
                "expect": [{"error": "smaller than min", "node": "a"}],
            },
            {"name": "no such input", "workflow": "graph.json", "set": {"a.wdth": 1}, "expect": [{"error": "a.wdth"}]},
        ]
    }
    assert exit_status(tmp_path, data) == 0
    told = capsys.readouterr().out
    assert told.count("✓") == 4
    assert "4 passed, 0 failed" in told
    assert not list((tmp_path / "output").glob("*.png")), "the installation's output stays as it was"

    data["tests"][0]["expect"] = [{"node": "c", "size": [1, 1]}, {"node": "t", "text": "5"}]
    data["tests"][1]["workflow"] = "missing.json"
    assert exit_status(tmp_path, data) == 1
    told = capsys.readouterr().out
    assert "✗ size and text" in told
    assert "expected node c: size [1, 1], but x_00001_.png is 32 × 16" in told
    assert "missing.json" in told
    assert "2 passed, 2 failed" in told


def test_each_test_begins_with_an_empty_cache_and_pictures_can_be_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = [{"name": f"run {n}", "workflow": "graph.json", "expect": [{"node": "b", "runs": 1}]} for n in (1, 2)]
    assert exit_status(tmp_path, data, "--keep", str(tmp_path / "kept")) == 0
    assert sorted(str(path.relative_to(tmp_path / "kept")) for path in (tmp_path / "kept").rglob("*.png")) == [
        "run 1/c_0.png",
        "run 2/c_0.png",
    ]


def test_the_file_of_the_documentation_is_understood(tmp_path: Path) -> None:
    from app.checks.cases import read_cases

    text = (Path(__file__).parents[2] / "docs" / "testing-workflows.md").read_text("utf-8")
    example = json.loads(text.split("```json\n")[1].split("```")[0])
    assert [case.name for case in read_cases(example, tmp_path)][2] == "zero steps are refused"

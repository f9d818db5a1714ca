"""The whole program foresees what a graph takes, and is right about which nodes run."""

from __future__ import annotations

from typing import Any

from tests.system.conftest import Program


def graph(size: int, color: int) -> dict[str, Any]:
    return {
        "a": {"class_type": "EmptyImage", "inputs": {"width": size, "height": size, "batch_size": 1, "color": color}},
        "b": {"class_type": "ImageInvert", "inputs": {"image": ["a", 0]}},
        "c": {"class_type": "PreviewImage", "inputs": {"images": ["b", 0]}},
    }


def test_an_estimate_learns_from_runs(program: Program) -> None:
    program.wait_for("/object_info")
    status, before = program.post("/api/estimate", {"prompt": graph(64, 0)})
    assert status == 200, before
    assert before["run"] == ["a", "b", "c"]
    assert set(before["unknown"]) == {"a", "b", "c"}
    job = program.post("/prompt", {"prompt": graph(64, 0)})[1]["prompt_id"]
    entry = program.finished(job)
    assert entry["nodes"]["c"]["reason"] == "it has not run before"
    assert entry["nodes"]["b"]["result_bytes"] >= 64 * 64 * 3 * 4

    same = program.post("/api/estimate", {"prompt": graph(64, 0)})[1]
    assert same["cached"] == ["a", "b", "c"]
    assert same["seconds"] == 0
    changed = program.post("/api/estimate", {"prompt": graph(64, 255)})[1]
    assert changed["run"] == ["a", "b", "c"]
    assert changed["unknown"] == []
    assert changed["nodes"]["b"]["samples"] == 1
    assert changed["nodes"]["a"]["reason"] == "color changed from 0 to 255"
    assert changed["seconds"] > 0
    assert program.get("/queue")["queue_pending"] == []

"""The estimate of a run: what it adds up, and what it refuses."""

from __future__ import annotations

from typing import Any

from app.server.estimate import summary
from app.store.records import Cost
from tests.server.support import Site, show

FAILING = {"class_type": "Fail", "inputs": {"message": "no"}}


def node(node_id: str, verdict: str = "run", rounds: int | None = 1) -> dict[str, Any]:
    signature = (f"same {node_id}", "alike") if verdict in ("run", "maybe") else ()
    return {
        "node_id": node_id,
        "class_type": "A",
        "verdict": verdict,
        "reason": "why",
        "rounds": rounds,
        "signature": signature,
    }


def test_times_add_up_and_peaks_do_not() -> None:
    told = summary(
        [node("1"), node("2", rounds=3), node("3", "maybe"), node("4", "cached"), node("5", "not needed")],
        {
            "1": ("same", Cost(7, 1.0, 100, 10)),
            "2": ("class", Cost(1, 2.0, 500, 20)),
            "3": ("alike", Cost(2, 10.0, 900, 30)),
        },
    )
    assert (told["seconds"], told["at_most_seconds"], told["peak_bytes"]) == (7.0, 17.0, 900)
    assert (told["run"], told["maybe"], told["cached"], told["not_needed"]) == (["1", "2"], ["3"], ["4"], ["5"])
    assert told["nodes"]["2"] == {
        "class_type": "A",
        "verdict": "run",
        "reason": "why",
        "rounds": 3,
        "basis": "class",
        "seconds": 6.0,
        "samples": 1,
        "peak_bytes": 500,
        "result_bytes": 20,
    }
    assert told["nodes"]["4"] == {"class_type": "A", "verdict": "cached"}
    assert told["unknown"] == []


def test_what_nobody_knows_is_said() -> None:
    told = summary([node("1"), node("2", rounds=None)], {"2": ("same", Cost(3, 1.0, 0, 0))})
    assert told["unknown"] == ["1", "2"]
    assert told["nodes"]["1"]["seconds"] is None
    assert told["nodes"]["1"]["samples"] == 0
    assert told["seconds"] == 1.0


async def test_a_prompt_is_validated_as_if_it_were_run(site: Site) -> None:
    refused = await site.post("/api/estimate", {"prompt": {"1": {"class_type": "Nope", "inputs": {}}}}, status=400)
    assert "Nope" in refused["error"]["message"]
    assert (await site.post("/api/estimate", {}, status=400))["error"]["type"] == "no_prompt"
    assert (await site.post("/api/estimate", {"prompt": []}, status=400))["error"]["type"] == "invalid_prompt"


async def test_a_worker_that_cannot_tell_is_no_failure_of_the_server(site: Site) -> None:
    told = await site.post("/api/estimate", {"prompt": {"1": FAILING, "2": show("x", ["1", 0])}}, status=503)
    assert "knows nothing about forecast" in str(told)
    assert (await site.get("/queue"))["queue_pending"] == []


async def test_an_estimate_learns_from_runs(site: Site) -> None:
    graph = {"1": {"class_type": "Work", "inputs": {"steps": 1, "seconds": 0.0}}, "2": show("x", ["1", 0])}
    fresh = await site.post("/estimate", {"prompt": graph})
    assert (fresh["run"], fresh["unknown"]) == (["1", "2"], ["1", "2"])
    assert fresh["nodes"]["1"]["reason"] == "new"

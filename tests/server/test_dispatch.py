"""Jobs on a real worker process: order of messages, crashes, cancelling, publishing once."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from app.graph.spec import spec_to_json
from tests.server.fake_worker import SPECS
from tests.server.support import Site, ear, opened, show


def work(steps: int = 3, seconds: float = 0.0) -> dict[str, Any]:
    return {"class_type": "Work", "inputs": {"steps": steps, "seconds": seconds}}


async def test_messages_of_a_run_come_in_order(site: Site) -> None:
    async with ear(site, "c1", {}) as heard:
        job_id = await site.submit({"1": work(2, 0.05), "2": show("hi", ["1", 0])}, client_id="c1")
        await heard.until("executing", node=None)
        types = [kind for kind in heard.types if kind not in ("progress_state", "feature_flags", "nodes_changed")]
        # A quick worker can begin a job before its submitter has been answered, so that news of the queue comes later.
        assert types[0] == types[-2] == "status" and types.count("status") == 4
        assert [kind for kind in types if kind != "status"] == [
            "execution_start", "execution_cached", "executing", "progress", "binary", "progress", "binary",
            "executing", "executed", "execution_success", "executing",
        ]  # fmt: skip
        states = [
            said["data"] for said in heard.heard if not isinstance(said, bytes) and said["type"] == "progress_state"
        ]
        assert states[0]["nodes"] == {
            "1": {
                "value": 0.0, "max": 1.0, "state": "running", "node_id": "1", "prompt_id": job_id,
                "display_node_id": "1", "parent_node_id": None, "real_node_id": "1",
            }
        }  # fmt: skip
        assert {entry["state"] for entry in states[-1]["nodes"].values()} == {"finished"}
        frame = next(said for said in heard.heard if isinstance(said, bytes))
        assert frame == struct.pack(">II", 1, 1) + b"\xff\xd8preview"
        entry = (await site.get(f"/history/{job_id}"))[job_id]
    assert entry["status"]["completed"]
    assert [kind for kind, _ in entry["status"]["messages"]] == [
        "execution_start",
        "execution_cached",
        "execution_success",
    ]
    image = entry["outputs"]["2"]["images"][0]
    assert image == {"filename": "shown_00001_.png", "subfolder": "", "type": "output"}
    async with site.session.get(f"{site.running.url}/view", params=image) as answer:
        assert await answer.read() == b"picture hi"


async def test_previews_come_with_metadata_to_those_who_take_it(site: Site) -> None:
    async with ear(site, "c1", {"supports_preview_metadata": True}) as heard:
        job_id = await site.submit({"1": work(1), "2": show("", ["1", 0])}, client_id="c1")
        await heard.until("executing", node=None)
        frame = next(said for said in heard.heard if isinstance(said, bytes))
    kind, length = struct.unpack_from(">II", frame)
    assert kind == 4
    assert job_id.encode() in frame[8 : 8 + length]
    assert frame[8 + length :] == b"\xff\xd8preview"


async def test_who_hears_what(site: Site) -> None:
    async with ear(site, "c1") as theirs, ear(site, "c2") as other:
        await site.submit({"1": work(1), "2": show("", ["1", 0])}, client_id="c1")
        await theirs.until("executing", node=None)
        await site.submit({"1": work(1), "2": show("x", ["1", 0])})
        await other.until("progress")
        assert set(other.types) - {"nodes_changed"} == {"status", "progress_state", "progress"}


async def test_a_killed_worker_costs_nothing_but_time(site: Site, tmp_path: Path) -> None:
    async with ear(site, "c1") as heard:
        crash = {"class_type": "Crash", "inputs": {"times": 1, "file": str(tmp_path / "count")}}
        job_id = await site.submit({"1": crash, "2": show("once", ["1", 0])}, client_id="c1")
        told = await heard.until("job_requeued")
        assert told["data"]["prompt_id"] == job_id
        assert told["data"]["losses"] == 1
        assert "SIGKILL" in told["data"]["reason"]
        await heard.until("executing", node=None)
        assert heard.types.count("execution_start") == 2
    assert (await site.finished(job_id))["status"]["completed"]
    replay = await site.get(f"/api/jobs/{job_id}/events?since=0")
    kinds = [event["type"] for event in replay["events"]]
    assert kinds.index("job_requeued") < kinds.index("execution_success")
    assert [event["seq"] for event in replay["events"]] == list(range(1, len(kinds) + 1))
    later = await site.get(f"/api/jobs/{job_id}/events?since={replay['next'] - 1}")
    assert [event["data"]["node"] for event in later["events"]] == [None]


async def test_a_job_that_always_kills_its_worker_ends_and_the_next_one_runs(site: Site, tmp_path: Path) -> None:
    crash = {"class_type": "Crash", "inputs": {"times": 99, "file": str(tmp_path / "count")}}
    bad = await site.submit({"7": crash, "8": show("", ["7", 0])})
    good = await site.submit({"1": show("after")})
    entry = await site.finished(bad)
    kind, data = entry["status"]["messages"][-1]
    assert (kind, data["exception_type"], data["node_id"], data["node_type"]) == (
        "execution_error",
        "WorkerLost",
        "7",
        "Crash",
    )
    assert "3 times" in data["exception_message"]
    assert (tmp_path / "count").read_text().count("x") == 3
    assert (await site.finished(good))["status"]["completed"]


async def test_killed_from_outside_in_mid_step(site: Site) -> None:
    async with ear(site, "c1") as heard:
        job_id = await site.submit({"1": work(4, 0.1), "2": show("", ["1", 0])}, client_id="c1")
        await heard.until("progress")
        (worker,) = site.running.services.dispatcher.workers.values()
        os.kill(worker.hello.process_id, signal.SIGKILL)
        await heard.until("job_requeued")
        await heard.until("execution_success")
    assert len((await site.finished(job_id))["outputs"]["2"]["images"]) == 1


async def test_cancel_is_acknowledged_at_once_and_the_worker_lives(site: Site) -> None:
    async with ear(site, "c1") as heard:
        job_id = await site.submit({"1": work(1000, 0.01), "2": show("", ["1", 0])}, client_id="c1")
        await heard.until("progress")
        (worker,) = site.running.services.dispatcher.workers.values()
        assert await site.post(f"/api/jobs/{job_id}/cancel") == {"cancelled": True}
        told = await heard.until("execution_interrupted")
        assert told["data"]["node_id"] == "1"
        await heard.until("executing", node=None)
        entry = await site.finished(job_id)
        assert entry["status"]["status_str"] == "error"
        assert await site.post(f"/api/jobs/{job_id}/cancel") == {"cancelled": False}
        await site.finished(await site.submit({"1": show("next")}))
        assert list(site.running.services.dispatcher.workers.values()) == [worker]


@pytest.mark.parametrize("how", ["sleep", "in C", "swallow"])
async def test_a_worker_that_does_not_yield_is_replaced(site: Site, how: str) -> None:
    async with ear(site, "c1") as heard:
        stubborn = {"class_type": "Stubborn", "inputs": {"seconds": 600.0, "how": how}}
        job_id = await site.submit({"1": stubborn, "2": show("", ["1", 0])}, client_id="c1")
        await heard.until("executing", node="1")
        waiting = await site.submit({"1": show("waits meanwhile")})
        began = time.monotonic()
        await site.post("/interrupt")
        await heard.until("execution_interrupted")
        assert time.monotonic() - began > 0.25  # it had its time to yield
    assert (await site.finished(waiting))["status"]["completed"]
    await site.status(job_id, "cancelled")
    assert (await site.finished(await site.submit({"1": show("next")})))["status"]["completed"]


async def test_interrupt_names_one_job(site: Site) -> None:
    async with ear(site, "c1") as heard:
        first = await site.submit({"1": work(1000, 0.01), "2": show("", ["1", 0])}, client_id="c1")
        await heard.until("progress")
        await site.post("/interrupt", {"prompt_id": "another"})
        await heard.until("progress")
        await site.post("/interrupt", {"prompt_id": first})
        await heard.until("execution_interrupted")


async def test_waiting_jobs_can_be_taken_out_and_moved(site: Site) -> None:
    async with ear(site, "c1") as heard:
        running = await site.submit({"1": work(1000, 0.01), "2": show("", ["1", 0])}, client_id="c1")
        await heard.until("progress")
        waiting = [await site.submit({"1": show(str(n))}) for n in range(4)]
        await site.post("/queue", {"delete": [waiting[0], "unknown"]})
        await site.post(f"/api/jobs/{waiting[3]}/reorder", {"number": -5})
        queue = await site.get("/queue")
        assert [item[1] for item in queue["queue_running"]] == [running]
        assert [item[1] for item in queue["queue_pending"]] == [waiting[3], waiting[1], waiting[2]]
        assert (await site.get("/prompt"))["exec_info"]["queue_remaining"] == 4
        await site.post("/queue", {"clear": True})
        assert (await site.get("/queue"))["queue_pending"] == []
        await site.post(f"/api/jobs/{running}/cancel")
        await site.status(running, "cancelled")


async def test_failing_nodes_are_explained(site: Site) -> None:
    async with ear(site, "c1") as heard:
        fail = {"class_type": "Fail", "inputs": {"message": "no good"}}
        job_id = await site.submit({"1": fail, "2": show("", ["1", 0])}, client_id="c1")
        told = (await heard.until("execution_error"))["data"]
        assert (told["node_id"], told["exception_type"], told["remedy"]) == ("1", "ValueError", "Mend.")
        assert told["current_outputs"] == ["1", "2"]
    job = await site.status(job_id, "failed")
    assert job["execution_error"]["exception_message"].startswith("no good")


async def test_an_output_that_cannot_be_saved_fails_the_job_not_the_worker(site: Site) -> None:
    job_id = await site.submit({"1": show("prefix:../outside")})
    entry = await site.finished(job_id)
    assert "outside" in entry["status"]["messages"][-1][1]["exception_message"]
    assert (await site.finished(await site.submit({"1": show("fine")})))["status"]["completed"]


async def test_a_run_repeated_after_a_loss_publishes_once(site: Site, tmp_path: Path) -> None:
    crash = {"class_type": "Crash", "inputs": {"times": 2, "file": str(tmp_path / "count"), "value": None}}
    # The picture is published before the crash, twice, under the same job: one file.
    prompt = {
        "1": show("early"),
        "2": {**crash, "inputs": {**crash["inputs"], "value": 1}},
        "3": show("late", ["2", 0]),
    }
    entry = await site.finished(await site.submit(prompt))
    assert entry["status"]["completed"]
    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == ["shown_00001_.png", "shown_00002_.png"]


async def test_a_client_that_comes_back_sees_what_runs(site: Site) -> None:
    async with ear(site, "c1") as heard:
        job_id = await site.submit({"1": work(1000, 0.01), "2": show("", ["1", 0])}, client_id="c1")
        await heard.until("progress")
    async with ear(site, "c1") as again:
        told = await again.until("executing")
        assert told["data"] == {"node": "1"}
        await again.until("progress_state", prompt_id=job_id)
        await again.until("progress")
    await site.post(f"/api/jobs/{job_id}/cancel")
    await site.status(job_id, "cancelled")


async def test_jobs_wait_for_the_next_server(tmp_path: Path) -> None:
    async with opened(tmp_path, "--workers", "0") as site:
        site.running.services.catalogue.learn(_specs())
        waiting = await site.submit({"1": show("later")})
    async with opened(tmp_path) as site:
        assert (await site.finished(waiting))["status"]["completed"]
    async with opened(tmp_path, "--workers", "0") as site:
        assert list(await site.get("/history")) == [waiting]


async def test_many_submissions_at_once_all_run(site: Site) -> None:
    ids = await asyncio.gather(*(site.submit({"1": show(str(n))}) for n in range(30)))
    for job_id in ids:
        assert (await site.finished(job_id))["status"]["completed"]
    assert len(list((site.base / "output").iterdir())) == 30


def _specs() -> tuple[dict[str, Any], ...]:
    return tuple(spec_to_json(spec) for spec in SPECS)

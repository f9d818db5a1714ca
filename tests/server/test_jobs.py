"""Jobs as a resource."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.graph.spec import spec_to_json
from tests.server.fake_worker import SPECS
from tests.server.support import Site, ear, eventually, opened, show


async def test_a_job_is_told_of_in_every_state(site: Site) -> None:
    workflow = {"extra_pnginfo": {"workflow": {"id": "doc-1"}}}
    job_id = await site.submit({"1": show("x")}, extra_data=workflow)
    job = await site.status(job_id, "completed")
    assert job["create_time"] <= job["execution_start_time"] <= job["execution_end_time"] <= job["update_time"]
    assert (job["outputs_count"], job["workflow_id"], job["execution_error"]) == (1, "doc-1", None)
    assert job["previewable_outputs_count"] == 1
    assert job["execution_status"]["completed"] is True
    assert job["preview_output"] == {
        "filename": "shown_00001_.png",
        "subfolder": "",
        "type": "output",
        "nodeId": "1",
        "mediaType": "images",
    }
    assert job["workflow"]["prompt"]["1"]["class_type"] == "Show"
    assert job["outputs"]["1"]["text"] == ["x"]
    assert (job["nodes"]["1"]["runs"], job["nodes"]["1"]["seconds"]) == (1, 0.1)
    assert (await site.get(f"/history/{job_id}"))[job_id]["nodes"] == job["nodes"]


async def test_lists_have_pages(site: Site) -> None:
    ids = [await site.submit({"1": show(str(n))}) for n in range(3)]
    for job_id in ids:
        await site.status(job_id, "completed")

    async def listed(query: str) -> tuple[list[str], dict[str, Any]]:
        answer = await site.get(f"/api/jobs?{query}")
        return [job["id"] for job in answer["jobs"]], answer["pagination"]

    assert await listed("") == (ids[::-1], {"offset": 0, "limit": None, "total": 3, "has_more": False})
    assert await listed("limit=2&sort_order=asc") == (ids[:2], {"offset": 0, "limit": 2, "total": 3, "has_more": True})
    assert (await listed("status=pending,in_progress"))[0] == []
    assert len((await listed("status=completed&sort_by=execution_duration"))[0]) == 3
    assert (await listed("workflow_id=none"))[1]["total"] == 0


async def test_several_are_cancelled_at_once(site: Site) -> None:
    async with ear(site, "c1") as heard:
        slow = {"class_type": "Work", "inputs": {"steps": 1000, "seconds": 0.01}}
        first = await site.submit({"1": slow, "2": show("", ["1", 0])}, client_id="c1")
        await heard.until("progress")
        second = await site.submit({"1": show("never")})
        assert await site.post("/api/jobs/cancel", {"job_ids": [first, second, "unknown"]}) == {"cancelled": True}
        for job_id in (first, second):
            await site.status(job_id, "cancelled")
        assert await site.post("/api/jobs/cancel", {"job_ids": [first]}) == {"cancelled": False}
        await site.post("/api/jobs/cancel", {}, status=400)
        assert list(await site.get("/history")) == [first]


async def test_history_forgets_on_request(site: Site) -> None:
    ids = [await site.submit({"1": show(str(n))}) for n in range(3)]
    for job_id in ids:
        await site.finished(job_id)
    assert list(await site.get("/history?max_items=1")) == [ids[2]]
    await site.post("/history", {"delete": [ids[0]]})
    assert list(await site.get("/history")) == ids[1:]
    await site.post("/history", {"clear": True})
    assert await site.get("/history") == {}
    # The picture stays: only the entry is forgotten.
    assert len(list((site.base / "output").iterdir())) == 3


async def test_free_reaches_the_worker_and_does_no_harm(site: Site) -> None:
    await site.post("/free", {"unload_models": True, "free_memory": True})
    await site.post("/free", {})
    assert (await site.finished(await site.submit({"1": show("x")})))["status"]["completed"]


async def test_the_queue_is_paused_reordered_and_resumed_before_all_eyes(quiet_site: Site) -> None:
    site = quiet_site
    site.running.services.catalogue.learn(tuple(spec_to_json(spec) for spec in SPECS))
    async with ear(site, "window") as window:
        assert await site.post("/api/queue/pause") == {"paused": True}
        assert (await window.until("status"))["data"]["status"]["exec_info"]["paused"]
        a, b, c = [await site.submit({"1": show(name)}) for name in "abc"]
        window.heard.clear()
        moves: list[tuple[str, dict[str, Any], list[str]]] = [
            (c, {"to": "front"}, [c, a, b]),
            (c, {"after": b}, [a, b, c]),
            (b, {"before": a}, [b, a, c]),
            (b, {"to": "back"}, [a, c, b]),
            (b, {"number": -7}, [b, a, c]),
        ]
        for job_id, where, order in moves:
            assert await site.post(f"/api/jobs/{job_id}/reorder", where) == {"reordered": True}
            await window.until("status")
            assert [item[1] for item in (await site.get("/queue"))["queue_pending"]] == order
        assert await site.post(f"/api/jobs/{c}/urgency", {"urgency": 2}) == {"urged": True}
        listed = (await site.get("/api/jobs?sort_by=queue"))["jobs"]
        assert [(job["id"], job["urgency"]) for job in listed] == [(c, 2), (b, 0), (a, 0)]
        assert await site.post("/api/jobs/absent/reorder", {"to": "front"}) == {"reordered": False}
        for wrong in ({}, {"to": "middle"}, {"to": "front", "number": 1}, {"before": 5}, {"number": "1"}):
            await site.post(f"/api/jobs/{a}/reorder", wrong, status=400)
        for wrong in ({}, {"urgency": "high"}, {"urgency": 1001}, {"urgency": True}):
            await site.post(f"/api/jobs/{a}/urgency", wrong, status=400)
        assert (await site.get("/queue"))["paused"]
        assert await site.post("/queue/resume") == {"paused": False}
        assert not (await site.get("/prompt"))["exec_info"]["paused"]


async def test_a_paused_queue_stays_paused_over_a_restart_and_then_goes_on(tmp_path: Path) -> None:
    async with opened(tmp_path) as site:
        await site.get("/object_info")
        await site.post("/queue/pause")
        job_id = await site.submit({"1": show("later")})
    async with opened(tmp_path) as site:
        await eventually(lambda: site.get("/system_stats"), lambda stats: stats["system"]["workers"] == 1)
        assert [item[1] for item in (await site.get("/queue"))["queue_pending"]] == [job_id]
        await site.post("/queue/resume")
        assert (await site.finished(job_id))["status"]["completed"]

"""What handlers declare is what they answer, when there is something to answer: real jobs, files, models, packs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.server import (
    endpoints,
    events,
    features,
    free,
    history,
    interrupt,
    jobs,
    machine_shapes,
    models,
    object_info,
    packs,
    prompts,
    queue,
    replacements,
    shapes,
    system_stats,
    templates,
    upload,
    userdata,
)
from app.server.operation import Media, Operation, operation_of
from tests.server.conforms import faults
from tests.server.support import Site, opened, show
from tests.server.test_routes import furnish, picture

# The library says in a warning what the client is told with a 400.
pytestmark = [
    pytest.mark.filterwarnings("ignore::aiohttp.BadContentDispositionHeader"),
    pytest.mark.filterwarnings("ignore::aiohttp.BadContentDispositionParam"),
]
LONG = {"1": {"class_type": "Work", "inputs": {"steps": 600, "seconds": 0.05}}, "2": show("late", ["1", 0])}
FAILING = {"1": {"class_type": "Fail", "inputs": {"message": "no"}}, "2": show("x", ["1", 0])}


@pytest.fixture
async def busy(tmp_path: Path) -> AsyncIterator[Site]:
    """A server with one job that succeeded, one that failed, one that runs, one that waits, and files of all kinds."""
    furnish(tmp_path)
    async with opened(tmp_path) as site:
        done = await site.submit({"1": {**show("done"), "_meta": {"title": "input:words"}}}, client_id="me")
        failed = await site.submit(FAILING)
        await site.finished(done)
        await site.finished(failed)
        running = await site.submit(LONG)
        await site.status(running, "in_progress")
        await site.submit(LONG)
        await site.post("/userdata/workflows%2Fkept.json", {"1": show("kept")})
        yield site
        await site.post("/queue", {"clear": True})
        await site.post("/interrupt", {})


def declared(handler: Any) -> Operation:
    found = operation_of(handler)
    assert found is not None
    return found


async def ids(site: Site) -> dict[str, str]:
    """A job of each status."""
    return {job["status"]: job["id"] for job in (await site.get("/api/jobs"))["jobs"]}


async def test_lists_and_entries(busy: Site) -> None:
    job = await ids(busy)
    assert set(job) == {"pending", "in_progress", "completed", "failed"}
    asked: list[tuple[Any, str]] = [
        (prompts.get_prompt, "/prompt"),
        (queue.get_queue, "/queue"),
        (history.get_history, "/history"),
        (history.get_history_entry, f"/history/{job['failed']}"),
        (jobs.list_jobs, "/jobs?limit=3&sort_by=queue"),
        *[(jobs.get_job, f"/jobs/{name}") for name in job.values()],
        (events.all_events, "/events"),
        (events.job_events, f"/jobs/{job['completed']}/events"),
        (models.get_kinds_with_folders, "/experiment/models"),
        (models.get_files, "/experiment/models/loras"),
        (userdata.list_tree, "/v2/userdata"),
        (system_stats.get_system_stats, "/system_stats"),
        (packs.get_packs, "/packs"),
        (endpoints.list_workflows, "/workflows"),
        (object_info.get_object_info, "/object_info"),
        (features.get_features, "/features"),
        (replacements.get_replacements, "/node_replacements"),
        (templates.get_index, "/templates/index.json"),
        (userdata.list_files, "/userdata?dir=workflows&full_info=true"),
    ]
    for handler, path in asked:
        answer = await busy.get(f"/api{path}")
        assert answer, path
        assert faults(answer, declared(handler).answer) == [], path


async def test_commands(busy: Site) -> None:
    job = await ids(busy)
    asked: list[tuple[Any, str, Any]] = [
        (prompts.post_prompt, "/prompt", {"prompt": {"1": show("more")}, "front": True, "urgency": 1}),
        (jobs.reorder_job, f"/jobs/{job['pending']}/reorder", {"to": "back"}),
        (jobs.urge_job, f"/jobs/{job['pending']}/urgency", {"urgency": 3}),
        (jobs.cancel_job, f"/jobs/{job['completed']}/cancel", None),
        (jobs.cancel_jobs, "/jobs/cancel", {"job_ids": [job["pending"]]}),
        (queue.pause_queue, "/queue/pause", None),
        (queue.resume_queue, "/queue/resume", None),
    ]
    for handler, path, body in asked:
        told = declared(handler)
        if body is not None:
            assert faults(body, told.body) == [], path
        answer = await busy.post(f"/api{path}", body)
        assert faults(answer, told.answer) == [], path


async def test_a_workflow_that_runs(busy: Site) -> None:
    graph = {"1": {**show("x"), "_meta": {"title": "input:words"}}}
    async with busy.session.post(
        f"{busy.running.url}/api/userdata/workflows%2Fa.json?full_info=true", data=json.dumps(graph)
    ) as answer:
        assert faults(await answer.json(), machine_shapes.UserFile) == []
    assert faults(await busy.get("/api/workflows/a"), declared(endpoints.get_workflow).answer) == []
    assert faults(await busy.post("/api/workflows/a/run", {}), declared(endpoints.run_workflow).answer) == []


async def test_uploads(busy: Site) -> None:
    form = aiohttp.FormData()
    form.add_field("image", picture(), filename="a.png")
    async with busy.session.post(f"{busy.running.url}/api/upload/image", data=form) as answer:
        assert faults(await answer.json(), declared(upload.upload_image).answer) == []
    assert declared(upload.upload_image).body == Media("multipart/form-data")


async def test_refusals(busy: Site) -> None:
    for path, body in (("/prompt", {"prompt": {"1": {"class_type": "No"}}}), ("/prompt", []), ("/jobs/cancel", {})):
        assert faults(await busy.post(f"/api{path}", body, status=400), shapes.Refusal) == []


def test_what_answers_nothing_says_so() -> None:
    for handler in (interrupt.post_interrupt, free.post_free, queue.post_queue, history.post_history):
        assert declared(handler).answer is None
    assert not declared(interrupt.post_interrupt).body_required
    assert asyncio.iscoroutinefunction(interrupt.post_interrupt), "a declared handler stays what it was"


@pytest.mark.parametrize(
    "disposition",
    [b'form-data; name="a\x17b"', b'form-data; name="image"; filename="\x00"', b"form-data", b"\xff\xfe"],
)
async def test_broken_forms_are_refused(quiet_site: Site, disposition: bytes) -> None:
    body = b"--b\r\nContent-Disposition: " + disposition + b"\r\n\r\nx\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for path in ("/upload/image", "/upload/mask"):
        async with quiet_site.session.post(quiet_site.running.url + path, data=body, headers=headers) as answer:
            assert 400 <= answer.status < 500
            assert faults(await answer.json(), shapes.Refusal) == []


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "multipart/form-data", "a/b"])
async def test_a_broken_form_is_no_token(tmp_path: Path, kind: str) -> None:
    async with opened(tmp_path, "--workers", "0", "--token", "secret") as site:
        for body in (b"", b"--x\r\n", b"\xff"):
            async with site.session.post(
                f"{site.running.url}/login", data=body, headers={"Content-Type": kind}
            ) as answer:
                assert answer.status == 401

"""A disk without space costs no job and no server."""

from __future__ import annotations

import os
import resource
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from app.graph.spec import spec_to_json
from app.link.messages import Hello, Ready
from app.store.outputs import OutputFolders
from tests.server.fake_worker import SPECS
from tests.server.scene import Channel
from tests.server.support import Site, ear, eventually, opened, show


async def allow(site: Site, pages: Callable[[int], int]) -> None:
    """Let the database have so many pages; SQLite then says that the disk is full, as it does of a real one."""

    def limit(connection: sqlite3.Connection) -> None:
        now = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages(now)}")

    await site.running.services.database.write(limit)


async def test_a_submission_that_cannot_be_kept_is_refused(site: Site) -> None:
    await site.finished(await site.submit({"1": show("before")}))
    await allow(site, lambda now: now)
    told = await site.post("/prompt", {"prompt": {"1": show("x" * 100_000)}}, status=503)
    assert "disk" in told["error"]["remedy"]
    assert (await site.get("/queue"))["queue_pending"] == []
    await allow(site, lambda now: now + 10_000)
    assert (await site.finished(await site.submit({"1": show("after")})))["status"]["completed"]


async def test_a_job_whose_end_cannot_be_written_is_run_again(tmp_path: Path) -> None:
    async with opened(tmp_path, "--lease", "0.9") as site, ear(site, "c1") as heard:
        work = {"class_type": "Work", "inputs": {"steps": 4, "seconds": 0.05}}
        job_id = await site.submit({"1": work, "2": show("y" * 50_000, ["1", 0])}, client_id="c1")
        await heard.until("progress")
        await allow(site, lambda now: now)
        await eventually(lambda: _workers(site), lambda count: count == 0)
        await allow(site, lambda now: now + 10_000)
        await heard.until("job_requeued")
        assert (await site.finished(job_id))["status"]["completed"]
    assert len(list((tmp_path / "output").iterdir())) == 1


async def test_an_output_folder_that_is_gone_fails_the_job_with_a_way_out(site: Site) -> None:
    os.rmdir(site.base / "output")
    (site.base / "output").write_text("a file stands here")
    entry = await site.finished(await site.submit({"1": show("x")}))
    told = entry["status"]["messages"][-1][1]
    assert "could not be saved" in told["exception_message"]
    assert "output folder writable" in told["remedy"]
    (site.base / "output").unlink()
    assert (await site.finished(await site.submit({"1": show("x")})))["status"]["completed"]


async def test_settings_that_cannot_be_written(site: Site) -> None:
    (site.base / "user/default").write_text("a file stands here")
    told = await site.post("/settings", {"a": 1}, status=503)
    assert told["error"]["type"] == "unavailable"


async def _workers(site: Site) -> int:
    return len(site.running.services.dispatcher.workers)


async def test_a_claim_that_cannot_be_written_is_made_later(quiet_site: Site, caplog: pytest.LogCaptureFixture) -> None:
    services = quiet_site.running.services
    services.catalogue.learn(tuple(spec_to_json(spec) for spec in SPECS))
    job_id = await quiet_site.submit({"1": show("x" * 20_000)})
    disk = {"full": False}
    await services.database.write(lambda connection: connection.set_progress_handler(lambda: disk["full"], 1))
    disk["full"] = True  # every statement that writes fails from now on
    channel = Channel()
    worker = services.dispatcher.joined(channel, Hello(process_id=1))
    await services.dispatcher.heard(worker, Ready())
    await eventually(lambda: _logged(caplog), lambda lines: "no job can be given out" in lines)
    assert channel.jobs() == []
    assert (await quiet_site.get(f"/api/jobs/{job_id}"))["status"] == "pending"
    for path in (f"/api/jobs/{job_id}/cancel", f"/api/jobs/{job_id}/reorder", "/queue/pause", "/queue"):
        told = await quiet_site.post(path, {"to": "front", "clear": True}, status=503)
        assert told["error"]["remedy"]
    disk["full"] = False
    await eventually(lambda: _given(channel), lambda given: given == [job_id])  # without anybody asking again
    assert await quiet_site.post(f"/api/jobs/{job_id}/cancel") == {"cancelled": True}


def test_half_a_picture_is_not_left_behind(tmp_path: Path) -> None:
    outputs = OutputFolders(tmp_path / "output", tmp_path / "temp")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match="large"):
            outputs.stage(b"x" * 50_000, ".png")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(outputs.staging.iterdir()) == []
    assert outputs.stage(b"x" * 50_000, ".png")


async def _logged(caplog: pytest.LogCaptureFixture) -> str:
    return caplog.text


async def _given(channel: Channel) -> list[str]:
    return [job.job_id for job in channel.jobs()]

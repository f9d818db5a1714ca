"""The server process: no torch, up at once, and nothing lost when it is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from app.errors import Unavailable
from app.server.serve import serving
from tests.server.support import PATIENCE, ROOT, Site, eventually, opened, settings_for, show

START = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.server import serve_fake; serve_fake.main()"


@asynccontextmanager
async def server_process(base: Path) -> AsyncIterator[tuple[Site, subprocess.Popen[bytes]]]:
    """A server in a process of its own; killed when the context ends, if not before."""
    (base / "address").unlink(missing_ok=True)
    process = subprocess.Popen([sys.executable, "-c", START, str(base)], stderr=subprocess.DEVNULL)
    try:
        async with asyncio.timeout(PATIENCE):
            while not (base / "address").exists():
                assert process.poll() is None
                await asyncio.sleep(0.02)
        running: Any = SimpleNamespace(url=(base / "address").read_text())
        async with aiohttp.ClientSession() as session:
            yield Site(running, session, base), process
    finally:
        process.kill()
        process.wait()


def alive(process_id: int) -> bool:
    """Whether a process runs. One that waits for its parent to take note of its end does not."""
    try:
        os.kill(process_id, 0)
        return "Z" not in Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # no /proc on this system, or gone between the two lines
        return not Path("/proc").is_dir()


async def test_a_killed_server_loses_no_job_and_takes_its_worker_along(tmp_path: Path) -> None:
    slow = {"class_type": "Work", "inputs": {"steps": 30, "seconds": 0.05}}
    async with server_process(tmp_path) as (site, process):
        running = await site.submit({"1": slow, "2": show("first", ["1", 0])})
        waiting = await site.submit({"1": show("second")}, prompt_id="0d7c6a8c-5f0f-4c55-9a40-5a8b4d3b7a11")
        await site.status(running, "in_progress")
        worker = int((tmp_path / "worker.pid").read_text())
        assert alive(worker)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    await eventually(lambda: asyncio.to_thread(alive, worker), lambda lives: not lives)
    async with opened(tmp_path) as site:
        for job_id in (running, waiting):
            assert (await site.finished(job_id))["status"]["completed"]
        assert (await site.get(f"/api/jobs/{running}"))["losses"] == 1
        again = await site.post("/prompt", {"prompt": {"1": show("second")}, "prompt_id": waiting})
        assert again["prompt_id"] == waiting
    assert len(list((tmp_path / "output").iterdir())) == 2


async def test_a_server_that_is_stopped_queues_what_ran(tmp_path: Path) -> None:
    slow = {"class_type": "Work", "inputs": {"steps": 100, "seconds": 0.02}}
    async with opened(tmp_path) as site:
        job_id = await site.submit({"1": slow, "2": show("", ["1", 0])})
        await site.status(job_id, "in_progress")
    async with opened(tmp_path, "--workers", "0") as site:
        job = await site.get(f"/api/jobs/{job_id}")
        assert (job["status"], job["losses"]) == ("pending", 0)


async def test_a_job_that_ends_the_server_each_time_is_given_up(tmp_path: Path) -> None:
    async with opened(tmp_path, "--workers", "0") as site:
        database = site.running.services.database
        await database.write(
            lambda connection: connection.execute(
                "INSERT INTO jobs (id, number, state, prompt, outputs, extra_data, created, started, losses, token)"
                " VALUES ('bad', 0, 'running', '{}', '[]', '{}', 1, 1, 2, 1)"
            )
        )
    async with opened(tmp_path, "--workers", "0") as site:
        entry = (await site.get("/history/bad"))["bad"]
        assert entry["status"]["messages"][-1][1]["exception_type"] == "WorkerLost"


async def test_two_servers_do_not_share_a_directory_or_a_port(tmp_path: Path) -> None:
    async with opened(tmp_path / "a", "--workers", "0") as site:
        with pytest.raises(Unavailable, match="Another"):
            async with serving(settings_for(tmp_path / "a", "--workers", "0")):
                raise AssertionError("it started")
        port = site.running.url.rpartition(":")[2]
        with pytest.raises(Unavailable, match="taken"):
            async with serving(settings_for(tmp_path / "b", "--workers", "0", "--port", port)):
                raise AssertionError("it started")


def test_no_torch_and_no_heavy_import() -> None:
    heavy = "torch, numpy, PIL, yaml, app.context, app.api, app.diffusion, app.images, nodes"
    code = f"import sys, app.server.serve; print([n for n in {heavy.split(', ')!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_up_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    async with server_process(tmp_path) as (site, _):
        await site.get("/system_stats")
        took = time.monotonic() - began
    # Well below a second on a quiet machine; the bound leaves room for one that is busy with other tests.
    assert took < 5


async def test_the_history_is_kept_as_settings_say(tmp_path: Path) -> None:
    async with opened(tmp_path, "--keep-jobs", "2") as site:
        ids = [await site.submit({"1": show(str(n))}) for n in range(4)]
        for job_id in ids:
            await site.finished(job_id)
        dispatcher = site.running.services.dispatcher
        assert dispatcher.retention.jobs == 2
        dispatcher.retention = replace(dispatcher.retention, every_seconds=0.0)  # at the next sweep, not in ten minutes

        async def names() -> list[str]:
            return list(await site.get("/history"))

        assert await eventually(names, lambda found: len(found) == 2) == ids[2:]

"""The server and the worker are killed at every labelled point: what was acknowledged is neither lost nor doubled.

One graph is submitted under one key, again and again until it is answered, as a program does that cannot know what
became of its request. Whoever is killed is started again, the worker by the server, the server by the test.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.server.kill_point import ARMED, points
from tests.server.support import ROOT, show

PATIENCE = 120.0
POINTS = sorted(set(points()))
# Points that a run without a hitch does not pass: told apart because their jobs need a crash or a cancel first.
WHEN_LOST = {"loom.job.losing"}
WHEN_CANCELLED = {"loom.job.cancelling"}

GRAPH = {"1": {"class_type": "Work", "inputs": {"steps": 3, "seconds": 0.01}}, "2": show("x", ["1", 0])}


@dataclass
class House:
    """A server process that is started again whenever it has died, and what asks it until it answers."""

    base: Path
    session: aiohttp.ClientSession
    process: subprocess.Popen[bytes] | None = None

    async def ask(self, method: str, path: str, **options: Any) -> Any:
        """The answer, from whichever server there is at last."""
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(aiohttp.ClientError, ConnectionError):
                    async with self.session.request(method, self.address() + path, **options) as answer:
                        if answer.status != 503:  # the nodes are not known yet
                            return answer.status, json.loads(await answer.text() or "null")
                await asyncio.sleep(0.02)

    def address(self) -> str:
        """Where the server is; starts one if there is none."""
        if self.process is None or self.process.poll() is not None:
            (self.base / "address").unlink(missing_ok=True)
            code = f"import sys; sys.path[:0] = [{str(ROOT)!r}]; from tests.server import serve_fake; serve_fake.main()"
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, str(self.base)], stderr=subprocess.DEVNULL, env={**os.environ, ARMED: "1"}
            )
        try:
            return (self.base / "address").read_text()
        except FileNotFoundError as early:
            raise ConnectionError("not up yet") from early

    async def submit(self, graph: dict[str, Any], name: str = "") -> str:
        """Submit under a name, a new one by default; the answer is always of that name."""
        name = name or str(uuid.uuid4())
        body = {"prompt": graph, "prompt_id": name}
        status, told = await self.ask("POST", "/prompt", json=body, headers={"Idempotency-Key": f"key {name}"})
        assert (status, told["prompt_id"]) == (200, name), told
        return name

    async def ended(self, job_id: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            while True:
                status, job = await self.ask("GET", f"/api/jobs/{job_id}")
                assert status == 200, "an acknowledged job is gone"
                if job["status"] not in ("pending", "in_progress"):
                    return job
                await asyncio.sleep(0.02)

    async def kill_at(self, point: str) -> None:
        """Wait until the server is up, then let whoever comes to the point first die there."""
        await self.ask("GET", "/object_info")
        part = self.base / "kill_at.part"
        part.write_text(point)
        part.rename(self.base / "kill_at")

    @property
    def pictures(self) -> list[str]:
        folder = self.base / "output"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("killed")


@pytest.fixture(scope="module")
def keeper() -> Iterator[dict[str, Any]]:
    """The server process outlives a test, so that each point costs one start."""
    kept: dict[str, Any] = {}
    yield kept
    if kept:
        kept["process"].kill()
        kept["process"].wait()


@pytest.fixture
async def house(base: Path, keeper: dict[str, Any]) -> AsyncIterator[House]:
    async with aiohttp.ClientSession() as session:
        made = House(base, session, keeper.get("process"))
        yield made
        keeper["process"] = made.process


def test_every_point_is_known() -> None:
    assert len(POINTS) >= 15
    assert sorted(points()) == POINTS, "a point's name stands for one place"
    assert set(POINTS) >= WHEN_LOST | WHEN_CANCELLED


@pytest.mark.parametrize("point", sorted(set(POINTS) - WHEN_LOST - WHEN_CANCELLED))
async def test_a_death_costs_nothing(house: House, point: str) -> None:
    before = house.pictures
    await house.kill_at(point)
    job_id = await house.submit(GRAPH)
    job = await house.ended(job_id)
    await passed(house)
    assert job["status"] == "completed", job
    assert len(house.pictures) == len(before) + 1
    (shown,) = job["outputs"]["2"]["images"]
    assert shown["filename"] in house.pictures
    assert (house.base / "output" / shown["filename"]).read_bytes() == b"picture x"
    await one_story(house, job_id)
    await house.submit(GRAPH, job_id)
    assert len(house.pictures) == len(before) + 1


@pytest.mark.parametrize("point", sorted(WHEN_LOST))
async def test_a_death_while_another_is_mourned(house: House, point: str) -> None:
    await house.kill_at(point)
    crash = {"class_type": "Crash", "inputs": {"times": 1, "file": str(house.base / f"crash-{uuid.uuid4().hex}")}}
    job_id = await house.submit({"1": crash, "2": show("y", ["1", 0])})
    assert (await house.ended(job_id))["status"] == "completed"
    await passed(house)
    await one_story(house, job_id)


@pytest.mark.parametrize("point", sorted(WHEN_CANCELLED))
async def test_a_cancel_that_was_answered_holds(house: House, point: str) -> None:
    long = {"1": {"class_type": "Work", "inputs": {"steps": 3000, "seconds": 0.01}}, "2": show("never", ["1", 0])}
    await house.kill_at(point)
    job_id = await house.submit(long)
    status, told = await house.ask("POST", f"/api/jobs/{job_id}/cancel")
    assert (status, told) == (200, {"cancelled": True})
    assert (await house.ended(job_id))["status"] == "cancelled"
    await passed(house)


async def passed(house: House) -> None:
    """The point was passed: who had to die has died."""
    async with asyncio.timeout(PATIENCE):
        while (house.base / "kill_at").exists():
            await asyncio.sleep(0.02)


async def one_story(house: House, job_id: str) -> None:
    """The job has one history entry and one end, told once and under one number."""
    _, events = await house.ask("GET", f"/api/jobs/{job_id}/events")
    numbers = [event["seq"] for event in events["events"]]
    assert numbers == sorted(set(numbers))
    kinds = Counter(event["type"] for event in events["events"])
    assert kinds["execution_success"] == 1
    _, history = await house.ask("GET", f"/history/{job_id}")
    assert list(history) == [job_id]
    assert history[job_id]["status"]["completed"]

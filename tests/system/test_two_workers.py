"""Two worker processes race for the jobs of one queue: each job runs once, and no picture is there twice.

One of them is killed on the way. The jobs that it held are run again, by whoever; nobody else's are.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections import Counter
from pathlib import Path

from tests.server.support import Site, eventually, opened, show

JOBS = 40


async def submit(site: Site, name: str) -> str:
    """A job that leaves a mark wherever it runs, takes a little, and makes one picture."""
    mark = {"class_type": "Crash", "inputs": {"times": 0, "file": str(site.base / "marks" / name)}}
    work = {"class_type": "Work", "inputs": {"steps": 2, "seconds": 0.002, "value": ["1", 0]}}
    return await site.submit({"1": mark, "2": work, "3": show(name, ["2", 0])})


async def both_are_there(site: Site) -> None:
    workers = site.running.services.dispatcher.workers

    async def count() -> int:
        return sum(worker.ready for worker in workers.values())

    await eventually(count, lambda number: number == 2)


def runs_by_worker(connection: sqlite3.Connection) -> Counter[str]:
    return Counter(dict(connection.execute("SELECT worker, count(*) FROM jobs GROUP BY worker").fetchall()))


async def test_each_job_runs_once_and_a_death_repeats_only_its_own(tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()
    async with opened(tmp_path, "--workers", "2") as site:
        await both_are_there(site)
        first = await asyncio.gather(*(submit(site, f"a{n}") for n in range(JOBS)))
        for job_id in first:
            assert (await site.finished(job_id))["status"]["completed"]
        marks = {path.name: len(path.read_text().splitlines()) for path in (tmp_path / "marks").iterdir()}
        assert marks == {f"a{n}": 1 for n in range(JOBS)}
        assert len(list((tmp_path / "output").iterdir())) == JOBS
        shares = await site.running.services.database.read(runs_by_worker)
        assert (len(shares), sum(shares.values())) == (2, JOBS)

        victim = next(iter(site.running.services.dispatcher.workers.values()))
        second = await asyncio.gather(*(submit(site, f"b{n}") for n in range(JOBS)))
        os.kill(victim.hello.process_id, signal.SIGKILL)
        for job_id in second:
            assert (await site.finished(job_id))["status"]["completed"]
        losses = [(await site.get(f"/api/jobs/{job_id}"))["losses"] for job_id in second]
        assert sum(losses) <= 1  # what it had not begun with, as far as the server was told, is no loss
        runs = Counter(len((tmp_path / "marks" / f"b{n}").read_text().splitlines()) for n in range(JOBS))
        assert set(runs) <= {1, 2}
        assert runs[2] <= 1 + victim.hello.ahead
        pictures = [path.read_bytes() for path in (tmp_path / "output").iterdir()]
        assert len(pictures) == len(set(pictures)) == 2 * JOBS

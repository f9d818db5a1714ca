"""What workers are given: a job at hand, and ahead of time those behind quick ones, which can be asked back."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from app.link.messages import Return, StoredJob
from app.server.runs import ActiveRun, Also
from app.server.workers import Worker
from app.store import jobs
from app.store.job_records import JobRecord


@dataclass(slots=True)
class Handouts:
    """When workers are given jobs ahead, and how they are asked for them back.

    A worker whose last job took less than `quick_seconds` is given the next ones ahead, and asked for them back where
    one takes more after all; one that does not hand them back in `return_seconds`, because it is too busy, keeps them.
    """

    quick_seconds: float = 0.1
    return_seconds: float = 0.5

    def was_quick(self, run: ActiveRun) -> bool:
        """Whether a job that has just ended was over in no time."""
        return time.monotonic() - run.begun_at < self.quick_seconds

    def watch(self, worker: Worker, overdue: Callable[[], None]) -> None:
        """Let no job wait behind one that is not over in no time after all: then `overdue` is called."""
        run = worker.run
        worker.watch = None
        if run is None or not worker.ahead:
            return
        left = run.begun_at + self.quick_seconds - time.monotonic()
        if left <= 0:
            worker.quick = False
            overdue()
        else:
            worker.watch = asyncio.get_running_loop().call_later(left, self.watch, worker, overdue)

    async def recall(self, workers: Collection[Worker]) -> list[ActiveRun]:
        """Get back what workers have not begun; nothing may be given out meanwhile.

        Returns:
            what they keep, because they are too busy to answer.
        """
        asked: list[asyncio.Event] = []
        for worker in list(workers):
            for run in reversed(worker.ahead):
                worker.quick = False
                if run not in worker.asked_back:
                    worker.asked_back[run] = asyncio.Event()
                    with contextlib.suppress(ConnectionError):
                        await worker.channel.send(Return(*claim_of(run)))
            asked += worker.asked_back.values()
        if asked:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.return_seconds):
                    for known in asked:
                        await known.wait()
        return [run for worker in workers for run in worker.ahead]


def claims_for(
    connection: sqlite3.Connection, rooms: Sequence[tuple[Worker, int]], until: float, now: float
) -> Iterator[tuple[Worker, JobRecord]]:
    """A job for each worker that has none, then as many ahead as each has room for."""
    for worker, _ in rooms:
        if not worker.runs:
            record = jobs.claim(connection, worker.id, lease_until=until, now=now)
            yield from () if record is None else [(worker, record)]
    for worker, room in rooms:
        more = room if worker.runs else room - 1
        if more:
            claimed = jobs.claim_ahead(connection, worker.id, more, lease_until=until)
            yield from ((worker, record) for record in claimed)


def claim_of(run: ActiveRun) -> tuple[str, int]:
    """The job and the token under which a worker has it."""
    return run.record.id, run.record.token


def order_of(record: JobRecord) -> StoredJob:
    """What a worker is sent of a job."""
    return StoredJob(
        record.id, record.token, record.prompt_text, record.outputs, record.extra_data_text, record.client_id
    )


def beginning_of(run: ActiveRun) -> Also:
    """Writes down that a worker begins with a job that it was given ahead."""
    (job_id, token), now = claim_of(run), time.time()
    return lambda connection: jobs.begin(connection, job_id, token, now)

"""Brings queued jobs and workers together: claims, leases, cancelling, and what happens when a worker is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import sys
import time
import uuid
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.engine.events import Event, NodesCached, NodeStarted, RunFailed, RunInterrupted, RunSucceeded
from app.errors import AppError, Unavailable
from app.link.messages import (
    Answer,
    Cancel,
    Done,
    Free,
    Heartbeat,
    Hello,
    Message,
    Ready,
    Returned,
    RunEvent,
    Tell,
    decode_event,
)
from app.server.handouts import Handouts, beginning_of, claim_of, claims_for, order_of
from app.server.queue_news import QueueNews
from app.server.runs import ActiveRun, RunServices, open_run, worker_lost
from app.server.teller import Teller
from app.server.workers import Channel, Worker, WorkerProcesses
from app.store import events as stored_events
from app.store import job_queries, jobs, queue_order, records
from app.store.database import Work
from app.store.job_queries import Retention
from app.store.job_records import JobRecord, Submission
from app.store.jobs import Accepted, Loss
from app.store.queue_order import QueueState

log = logging.getLogger(__name__)

_SWEEP_SECONDS = 1.0
_SILENT_BEATS = 3
_LONGEST_STEP = 60.0
_SERVER_ENDED = "ended together with the server"


@dataclass(slots=True)
class Dispatcher:
    """Owns the workers and the jobs that run. All of it happens on the event loop."""

    services: RunServices
    lease_seconds: float
    cancel_grace_seconds: float
    processes: WorkerProcesses | None = None
    handouts: Handouts = field(default_factory=Handouts)
    retention: Retention = field(default_factory=Retention)
    workers: dict[str, Worker] = field(default_factory=dict[str, Worker])
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _endings: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _unannounced: set[str] = field(default_factory=set[str])
    _pumping: bool = False
    _closing: bool = False

    async def start(self) -> None:
        """Take every job that ran when an earlier server ended for lost, and begin to look after leases."""
        await self.services.log.open()
        now = time.time()
        lost = await self.services.database.write(lambda connection: jobs.recover(connection, now))
        self.news.correct(await self.services.database.read(queue_order.state))
        for record, loss, losses in lost:
            await self._settle(record, loss, losses, _SERVER_ENDED)
        await self._forget()
        self._spawn(self._sweep())
        self._spawn(self.services.log.flush_forever())

    async def close(self) -> None:
        """Stop: jobs that run are queued again and wait for the next server."""
        self._closing = True
        await asyncio.gather(*self._endings, return_exceptions=True)
        for worker in list(self.workers.values()):
            await self.left(worker, "was stopped with the server")
            await worker.channel.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.services.log.close()

    @property
    def runs(self) -> list[ActiveRun]:
        """The jobs that workers work on now."""
        return [worker.run for worker in self.workers.values() if worker.run is not None]

    @property
    def news(self) -> QueueNews:
        """How long the queue is."""
        return self.services.news

    # ------------------------------------------------------------ jobs

    async def submit(
        self, submission: Submission, *, keys: Iterable[str], digest: str, node_errors: Mapping[str, Any]
    ) -> Accepted:
        """Queue a job; it is durable when this returns. See `store.jobs.submit`."""
        keys, now = tuple(keys), time.time()
        self._unannounced.add(submission.id)
        try:
            writing = self.services.database.write(
                lambda connection: jobs.submit(
                    connection, submission, keys=keys, digest=digest, node_errors=node_errors, now=now
                )
            )
            self._pump_soon()  # a worker may begin while the disk is waited for: it is the answer that has to wait
            accepted = await writing
        finally:
            announced = submission.id not in self._unannounced
            self._unannounced.discard(submission.id)
        sys.audit("loom.job.accepted", submission.id)
        if not accepted.repeated and not announced:
            self.news.count(1)
            self.news.tell_soon()
            if submission.front or submission.urgency or submission.number is not None:
                self._recall_soon()
        return accepted

    async def cancel(self, job_id: str) -> bool:
        """Cancel a job that waits or runs. Answers at once; a worker that does not yield in time is ended.

        Returns:
            False when there is nothing to cancel.
        """
        found = await self.services.database.write(
            lambda connection: jobs.request_cancel(connection, job_id, time.time())
        )
        if found is None:
            return False
        state, token = found
        if state == "queued":
            self.news.count(-1)
            self.news.tell_soon()
        elif not await self._tell_cancelled(job_id, token):
            self._spawn(self._cancel_when_given(job_id, token))
        return True

    async def _tell_cancelled(self, job_id: str, token: int) -> bool:
        """Tell the worker that has a job that it is cancelled; False when none has it."""
        for worker in list(self.workers.values()):
            run = worker.find(job_id, token)
            if run is not None:
                self._spawn(self._press(worker, run))
                with contextlib.suppress(ConnectionError):
                    await worker.channel.send(Cancel(job_id, token))
                return True
        return False

    async def _cancel_when_given(self, job_id: str, token: int) -> None:
        """It was claimed a moment ago and is on its way to its worker."""
        async with self._lock:
            await self._tell_cancelled(job_id, token)

    async def cancel_all(self) -> None:
        """Cancel what runs; what waits stays."""
        for run in self.runs:
            await self.cancel(run.record.id)

    async def remove_queued(self, job_ids: Iterable[str] | None) -> int:
        """Cancel those of the jobs that wait, all for None."""
        wanted = None if job_ids is None else tuple(job_ids)
        async with self._lock:
            kept = await self._recall()
            removed = await self.services.database.write(
                lambda connection: jobs.cancel_queued(connection, wanted, time.time())
            )
        self.news.count(-removed)
        for run in kept:
            if wanted is None or run.record.id in wanted:
                removed += await self.cancel(run.record.id)
        self.news.tell_soon()
        return removed

    async def change_order(self, change: Work[bool]) -> bool:
        """Move or urge waiting jobs by a function of `store.queue_order`; says what that said."""
        async with self._lock:
            await self._recall()
            moved = await self.services.database.write(change)
        if moved:
            self.news.tell_soon()
        self._pump_soon()
        return moved

    async def pause(self, held: bool) -> None:
        """Give out no more jobs until told otherwise, also by later servers. What runs goes on."""
        async with self._lock:
            changed = await self.services.database.write(lambda connection: queue_order.pause(connection, held))
            self.news.paused = held
            await self._recall()
        if changed:
            self.news.tell_soon()
        self._pump_soon()

    async def free(self, order: Free) -> None:
        """Pass it on to all workers."""
        for worker in list(self.workers.values()):
            with contextlib.suppress(ConnectionError):
                await worker.channel.send(order)

    async def ask(self, about: str, data: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
        """Ask a worker, one without a job if there is one, and give its answer. Raises Unavailable."""
        worker = min(self.workers.values(), key=lambda worker: worker.run is not None, default=None)
        if worker is None:
            raise Unavailable("No worker is connected.", remedy="Wait until one has started; see the log if none does.")
        return await worker.questions.ask(worker.channel.send, about, data, seconds)

    # ------------------------------------------------------------ workers

    def joined(self, channel: Channel, hello: Hello) -> Worker:
        """A worker has introduced itself."""
        worker = Worker(uuid.uuid4().hex, channel, hello, Teller(), devices=hello.devices)
        self.workers[worker.id] = worker
        if self.processes is not None:
            self.processes.joined(hello.process_id)
        log.info("worker %s joined with %d nodes", hello.name or worker.id, len(hello.specs))
        return worker

    async def heard(self, worker: Worker, said: Message | bytes) -> None:
        """A worker says something. To be awaited before its next words are taken in, so that order holds."""
        worker.heard_at = time.monotonic()
        if isinstance(said, bytes | RunEvent):
            await self._event(worker, *decode_event(said))
        elif isinstance(said, Ready):
            worker.ready = True
            self._pump_soon()
        elif isinstance(said, Heartbeat):
            worker.devices = said.devices or worker.devices
            if said.job_id is not None:
                await self._renew([(said.job_id, said.token), *(claim_of(run) for run in worker.ahead)])
        elif isinstance(said, Tell):
            self.services.hub.tell(said.event, said.data, said.to)
        elif isinstance(said, Answer):
            worker.questions.take(said)
        elif isinstance(said, Returned | Done):
            await self._let_go(worker, said)

    async def left(self, worker: Worker, reason: str = "") -> None:
        """A worker's connection is gone, and with it the claims on its jobs."""
        if self.workers.pop(worker.id, None) is None:
            return
        worker.questions.fail()
        held = list(worker.runs)
        for run in held:
            worker.drop(run)
        if not held:
            return
        reason = reason or await self._ending(worker)
        for run in held:
            try:
                if run.begun:
                    await run.lost(reason, counts=not self._closing)
                else:
                    await run.given_back()
            except Unavailable as broken:  # its lease will run out, and then it is tried again
                log.error("job %s cannot be queued again yet: %s", run.record.id, broken)
        self.news.tell_soon()
        self._pump_soon()

    async def _event(self, worker: Worker, job_id: str, token: int, event: Event) -> None:
        run = worker.find(job_id, token)
        if run is None:  # words about a claim that is over
            if isinstance(event, NodesCached | NodeStarted):
                with contextlib.suppress(ConnectionError):
                    await worker.channel.send(Cancel(job_id, token))
            return
        while run in worker.ahead:  # jobs before it have never been said to end
            await self._let_go(worker, Done(*claim_of(worker.runs[0])))
        if worker.run is not run:
            return  # lost meanwhile
        if isinstance(event, RunSucceeded | RunFailed | RunInterrupted):
            self._conclude(worker, run, event)
            return
        await run.hear(event)
        if run.ended and worker.run is run:
            worker.drop(run)
            await self._begin_first(worker)
            # The job was ended here, say for want of disk space, which the worker does not know yet.
            with contextlib.suppress(ConnectionError):
                await worker.channel.send(Cancel(job_id, token))

    def _conclude(self, worker: Worker, run: ActiveRun, event: RunSucceeded | RunFailed | RunInterrupted) -> None:
        """A worker has ended its job. It goes on with the next one while this end is on its way to the disk."""
        worker.quick = self.handouts.was_quick(run)
        following = worker.runs[1] if len(worker.runs) > 1 else None
        writing = run.conclude(event, None if following is None else beginning_of(following))
        worker.drop(run)
        worker.begin_first()

        async def write() -> None:
            try:
                await writing
            except AppError as broken:  # the lease will run out, and then the job is tried again
                log.error("the end of job %s could not be written: %s", run.record.id, broken)
                await worker.channel.close()

        ending = self._spawn(write())
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        self._pump_soon()

    async def _let_go(self, worker: Worker, said: Returned | Done) -> None:
        """A worker has a job no more although it has not said how it ended."""
        run = worker.find(said.job_id, said.token)
        if run is None:
            return
        worker.drop(run)
        if isinstance(said, Done):
            await run.lost("ended its work without a result")
        elif run.begun:  # it became the first while the worker was asked for it, or it was cancelled at once
            await run.lost("had not begun with it", counts=False)
        else:
            await run.given_back()
        worker.ready = worker.ready or isinstance(said, Returned)
        await self._begin_first(worker)
        self._pump_soon()

    async def _renew(self, claims: Sequence[tuple[str, int]]) -> None:
        until = time.monotonic() + self.lease_seconds

        def renew(connection: sqlite3.Connection) -> None:
            for job_id, token in claims:
                jobs.renew(connection, job_id, token, until)

        await self.services.database.write(renew, lasting=False)

    def _pump_soon(self) -> None:
        """Give out jobs in a moment, once for all who ask until then."""
        if not self._pumping and not self._closing and any(worker.room for worker in self.workers.values()):
            self._pumping = True
            self._spawn(self._pump())

    async def _pump(self) -> None:
        """Give jobs to workers for as long as there are both."""
        async with self._lock:
            self._pumping = False
            rooms = [(worker, worker.room) for worker in self.workers.values() if worker.room]
            if not rooms or self._closing:
                return
            until, now = time.monotonic() + self.lease_seconds, time.time()

            def write(connection: sqlite3.Connection) -> list[tuple[Worker, JobRecord]]:
                return list(claims_for(connection, rooms, until, now))

            # Not lasting: a machine without power has forgotten the worker as well.
            try:
                claims = await self.services.database.write(write, lasting=False)
            except Unavailable as broken:  # say for want of disk space; it is tried again
                log.error("no job can be given out: %s", broken)
                return
            orders: dict[Worker, list[Message]] = {}
            for worker, record in claims:
                if await self._give(worker, record):
                    orders.setdefault(worker, []).append(order_of(record))
            for worker, its in orders.items():
                with contextlib.suppress(ConnectionError):  # its connection ends, and `left` queues the jobs again
                    await worker.channel.send(*its)
            if claims:
                sys.audit("loom.job.sent")

    async def _give(self, worker: Worker, record: JobRecord) -> bool:
        """A worker has a job; False if it has left meanwhile."""
        sys.audit("loom.job.claimed", record.id)
        run = open_run(record, self.services, worker.teller)
        if worker.id not in self.workers:
            await run.given_back()
            return False
        if record.id in self._unannounced:  # taken while its submission still waits for the disk
            self._unannounced.discard(record.id)
            self.news.count(1)
            worker.teller.tell(self.news.tell)
        worker.runs.append(run)
        if worker.run is run:
            worker.ready = False
            await self._begin_first(worker)
        elif worker.watch is None:
            self.handouts.watch(worker, self._recall_soon)
        return True

    async def _begin_first(self, worker: Worker) -> None:
        """A worker begins with the first job that it has, if any, and not because another one has ended."""
        first = worker.run
        if first is None or first.begun:
            return
        worker.begin_first()
        if first.record.started is None:
            await self.services.database.write(beginning_of(first), lasting=False)

    def _recall_soon(self) -> None:
        """Get back in a moment what workers have not begun."""

        async def recall() -> None:
            async with self._lock:
                await self._recall()
            self._pump_soon()

        if any(worker.ahead for worker in self.workers.values()):
            self._spawn(recall())

    async def _recall(self) -> list[ActiveRun]:
        """Get back what workers have not begun, under the lock, and tell what they keep."""
        return await self.handouts.recall(self.workers.values())

    # ------------------------------------------------------------ what goes wrong

    async def _press(self, worker: Worker, run: ActiveRun) -> None:
        """Give a cancelled job's worker its time to yield, which it can after each step, then end the worker."""
        await asyncio.sleep(self.cancel_grace_seconds + min(run.step_seconds, _LONGEST_STEP))
        if worker.run is run and not run.ended:
            log.warning("job %s did not yield; its worker is ended", run.record.id)
            await self._end(worker, "was ended because it did not yield")
        elif run in worker.runs:  # it was not begun, and the worker is too busy to say so
            worker.drop(run)
            await run.given_back()

    async def _end(self, worker: Worker, reason: str) -> None:
        if self.processes is not None:
            self.processes.kill(worker.hello.process_id)
        await self.left(worker, reason)
        await worker.channel.close()

    async def _ending(self, worker: Worker) -> str:
        ending = await self.processes.ending(worker.hello.process_id) if self.processes is not None else ""
        return ending or "lost its connection"

    async def _sweep(self) -> None:
        forgotten_at = time.monotonic()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                await self._sweep_once()
                if time.monotonic() - forgotten_at > self.retention.every_seconds:
                    forgotten_at = time.monotonic()
                    await self._forget()
            except AppError as broken:
                log.error("leases cannot be looked after: %s", broken)

    async def _sweep_once(self) -> None:
        """Take workers whose lease has run out, or that are silent, for lost, and jobs that nobody works on."""
        before = self.news.changes
        expired, queue = await self.services.database.read(_look_around)
        over, now = set(expired), time.monotonic()
        for worker in list(self.workers.values()):
            held = {claim_of(run) for run in worker.runs}
            if held & over or now - worker.heard_at > _SILENT_BEATS * self.lease_seconds:
                await self._end(worker, f"did not answer for {self.lease_seconds:.0f} s")
            over -= held
        for job_id, token in over:
            await self._reclaim(job_id, token)
        idle = not (self.runs or self._endings or self._unannounced)
        if idle and self.news.changes == before:
            self.news.correct(queue)  # after a write of which nobody knew whether it reached the disk
        self._pump_soon()  # a claim may have failed, say for want of disk space

    async def _forget(self) -> None:
        """Keep history and events within their limits."""

        def prune(connection: sqlite3.Connection) -> None:
            now = time.time()
            stored_events.prune(connection, now)
            jobs.prune_keys(connection, now)
            records.prune(connection)
            job_queries.prune(connection, self.retention, now)

        await self.services.database.write(prune)

    async def _reclaim(self, job_id: str, token: int) -> None:
        """A job whose end could not be written, say for want of disk space: nobody has it any more."""
        record = await self.services.database.read(lambda connection: job_queries.get(connection, job_id))
        loss, losses = await self.services.database.write(lambda connection: jobs.lose(connection, job_id, token))
        if record is not None:
            await self._settle(record, loss, losses, "was lost before its end could be written")
            self.news.tell_soon()
            self._pump_soon()

    async def _settle(self, record: JobRecord, loss: Loss, losses: int, reason: str) -> None:
        """Take note of a job that was lost; write its end if that was once too often, or if it was cancelled."""
        run = open_run(record, self.services)
        if loss == "queued":
            await run.told_lost(reason, losses)
        elif loss == "poisoned":
            await run.conclude(worker_lost(("", ""), losses, reason))
        elif loss == "cancelled":
            await run.conclude(RunInterrupted("", ""))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task of the dispatcher failed", exc_info=error)


def _look_around(connection: sqlite3.Connection) -> tuple[list[tuple[str, int]], QueueState]:
    return jobs.expired(connection, time.monotonic()), queue_order.state(connection)

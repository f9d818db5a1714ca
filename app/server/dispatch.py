"""Brings queued jobs and workers together: claims, leases, cancelling, and what happens when a worker is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import sys
import time
import uuid
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.engine.events import Event, RunFailed, RunInterrupted, RunSucceeded
from app.errors import AppError, Unavailable
from app.link.messages import (
    Answer,
    Cancel,
    Done,
    Free,
    Heartbeat,
    Hello,
    Job,
    Message,
    Ready,
    RunEvent,
    Tell,
    decode_event,
)
from app.server.questions import Questions
from app.server.runs import ActiveRun, RunServices, open_run, status_data, worker_lost
from app.store import events as stored_events
from app.store import job_queries, jobs, queue_order
from app.store.database import Work
from app.store.job_records import JobRecord, Submission
from app.store.jobs import Accepted, Loss
from app.store.queue_order import QueueState

log = logging.getLogger(__name__)

_SWEEP_SECONDS = 1.0
_FORGET_SECONDS = 600.0
_SILENT_BEATS = 3
_LONGEST_STEP = 60.0
_SERVER_ENDED = "ended together with the server"


class Channel(Protocol):
    """A connection to a worker."""

    async def send(self, message: Message) -> None:
        """Say something; raises ConnectionError when the worker is gone."""

    async def close(self) -> None:
        """Hang up."""


class WorkerProcesses(Protocol):
    """The worker processes that this server may end. `link.launcher.LocalLauncher` is one."""

    def kill(self, process_id: int) -> bool:
        """End a process at once; False when it is none of these."""
        ...

    def joined(self, process_id: int) -> None:
        """A process has introduced itself as a worker, so its start went well."""
        ...

    async def ending(self, process_id: int) -> str:
        """In words how a process ended, "" if unknown."""
        ...


@dataclass(eq=False, slots=True)
class Worker:
    """A connected worker. `run` is the job it has; `ready` when it asked for one and got none yet.

    `concluding` writes the end of the job before, `beginning` waits for that to tell of the one at hand.
    """

    id: str
    channel: Channel
    hello: Hello
    ready: bool = False
    run: ActiveRun | None = None
    concluding: asyncio.Task[None] | None = None
    beginning: asyncio.Task[None] | None = None
    devices: tuple[Mapping[str, Any], ...] = ()
    heard_at: float = field(default_factory=time.monotonic)
    questions: Questions = field(default_factory=Questions)


@dataclass(slots=True)
class Dispatcher:
    """Owns the workers and the jobs that run. All of it happens on the event loop."""

    services: RunServices
    lease_seconds: float
    cancel_grace_seconds: float
    processes: WorkerProcesses | None = None
    workers: dict[str, Worker] = field(default_factory=dict[str, Worker])
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _queue: QueueState = field(default_factory=lambda: QueueState(0, False))
    _unannounced: set[str] = field(default_factory=set[str])
    _announcement: asyncio.Event = field(default_factory=asyncio.Event)
    _pumping: asyncio.Event = field(default_factory=asyncio.Event)
    _closing: bool = False

    async def start(self) -> None:
        """Take every job that ran when an earlier server ended for lost, and begin to look after leases."""
        await self.services.log.open()
        for record, loss, losses in await self.services.database.write(jobs.recover):
            await self._settle(record, loss, losses, _SERVER_ENDED)
        await self._forget()
        self._spawn(self._sweep())
        self._spawn(self.services.log.flush_forever())

    async def close(self) -> None:
        """Stop: jobs that run are queued again and wait for the next server."""
        self._closing = True
        for worker in list(self.workers.values()):
            if worker.concluding is not None:
                await asyncio.gather(worker.concluding, return_exceptions=True)
            await self.left(worker, "was stopped with the server")
            await worker.channel.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.services.log.close()

    @property
    def runs(self) -> list[ActiveRun]:
        """The jobs that workers have now."""
        return [worker.run for worker in self.workers.values() if worker.run is not None]

    # ------------------------------------------------------------ jobs

    async def submit(
        self, submission: Submission, *, keys: Iterable[str], digest: str, node_errors: Mapping[str, Any]
    ) -> Accepted:
        """Queue a job; it is durable when this returns. See `store.jobs.submit`."""
        keys = tuple(keys)

        def write(connection: sqlite3.Connection) -> tuple[Accepted, QueueState]:
            accepted = jobs.submit(
                connection, submission, keys=keys, digest=digest, node_errors=node_errors, now=time.time()
            )
            return accepted, queue_order.state(connection)

        self._unannounced.add(submission.id)
        try:
            accepted, queue = await self.services.database.write(write)
        finally:
            announced = submission.id not in self._unannounced
            self._unannounced.discard(submission.id)
        sys.audit("loom.job.accepted", submission.id)
        if not accepted.repeated and not announced:
            self._queue = queue
            self._soon(self._announcement, self._announce_last)
            self._soon(self._pumping, self._pump)
        return accepted

    async def cancel(self, job_id: str) -> bool:
        """Cancel a job that waits or runs. Answers at once; a worker that does not yield in time is ended.

        Returns:
            False when there is nothing to cancel.
        """
        async with self._lock:
            found = await self.services.database.write(
                lambda connection: jobs.request_cancel(connection, job_id, time.time())
            )
        if found is None:
            return False
        state, token = found
        if state == "queued":
            await self.announce()
            return True
        for worker in list(self.workers.values()):
            if worker.run is not None and worker.run.record.id == job_id:
                self._spawn(self._press(worker, worker.run))
                with contextlib.suppress(ConnectionError):
                    await worker.channel.send(Cancel(job_id, token))
        return True

    async def cancel_all(self) -> None:
        """Cancel what runs; what waits stays."""
        for run in self.runs:
            await self.cancel(run.record.id)

    async def remove_queued(self, job_ids: Iterable[str] | None) -> int:
        """Cancel those of the jobs that wait, all for None."""
        wanted = None if job_ids is None else tuple(job_ids)
        removed = await self.services.database.write(
            lambda connection: jobs.cancel_queued(connection, wanted, time.time())
        )
        await self.announce()
        return removed

    async def change_order(self, change: Work[bool]) -> bool:
        """Move or urge waiting jobs by a function of `store.queue_order`; says what that said."""
        moved = await self.services.database.write(change)
        if moved:
            await self.announce()
        return moved

    async def pause(self, held: bool) -> None:
        """Give out no more jobs until told otherwise, also by later servers. What runs goes on."""
        if await self.services.database.write(lambda connection: queue_order.pause(connection, held)):
            await self.announce()
            await self._pump()

    async def free(self, order: Free) -> None:
        """Pass it on to all workers."""
        for worker in list(self.workers.values()):
            with contextlib.suppress(ConnectionError):
                await worker.channel.send(order)

    async def announce(self) -> None:
        """Tell all clients that the queue is another, so that each window shows the same."""
        self._queue = await self.services.database.read(queue_order.state)
        self.services.hub.send("status", status_data(self._queue))

    async def _announce_last(self) -> None:
        self.services.hub.send("status", status_data(self._queue))

    async def ask(self, about: str, data: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
        """Ask a worker, one without a job if there is one, and give its answer. Raises Unavailable."""
        worker = min(self.workers.values(), key=lambda worker: worker.run is not None, default=None)
        if worker is None:
            raise Unavailable("No worker is connected.", remedy="Wait until one has started; see the log if none does.")
        return await worker.questions.ask(worker.channel.send, about, data, seconds)

    # ------------------------------------------------------------ workers

    def joined(self, channel: Channel, hello: Hello) -> Worker:
        """A worker has introduced itself."""
        worker = Worker(uuid.uuid4().hex, channel, hello, devices=hello.devices)
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
            await self._pump()
        elif isinstance(said, Heartbeat):
            worker.devices = said.devices or worker.devices
            if said.job_id is not None:
                await self._renew(said.job_id, said.token)
        elif isinstance(said, Tell):
            self.services.hub.tell(said.event, said.data, said.to)
        elif isinstance(said, Answer):
            worker.questions.take(said)
        elif isinstance(said, Done):
            run = worker.run
            if run is not None and (run.record.id, run.record.token) == (said.job_id, said.token):
                worker.run = None
                await run.lost("ended its work without a result")

    async def left(self, worker: Worker, reason: str = "") -> None:
        """A worker's connection is gone, and with it the claim on its job."""
        if self.workers.pop(worker.id, None) is None:
            return
        worker.questions.fail()
        run, worker.run = worker.run, None
        if run is not None and not run.ended:
            await run.lost(reason or await self._ending(worker), counts=not self._closing)
            await self.announce()
            await self._pump()

    async def _event(self, worker: Worker, job_id: str, token: int, event: Event) -> None:
        run = worker.run
        if run is None or (run.record.id, run.record.token) != (job_id, token):
            return  # words about a claim that is over
        if worker.beginning is not None:
            await worker.beginning
            if worker.run is not run:
                return  # lost meanwhile
        if isinstance(event, RunSucceeded | RunFailed | RunInterrupted):
            # The worker takes its next job while the end of this one is on its way to the disk.
            worker.run = None
            worker.concluding = self._spawn(self._conclude(worker, run, event))
            return
        await run.hear(event)
        if run.ended:
            worker.run = None
            # The job was ended here, say for want of disk space, which the worker does not know yet.
            with contextlib.suppress(ConnectionError):
                await worker.channel.send(Cancel(job_id, token))

    async def _conclude(self, worker: Worker, run: ActiveRun, event: Event) -> None:
        try:
            await run.hear(event)
        except AppError as broken:  # the lease will run out, and then the job is tried again
            log.error("the end of job %s could not be written: %s", run.record.id, broken)
            await worker.channel.close()

    async def _begin(self, worker: Worker, run: ActiveRun, queues: Iterable[QueueState]) -> None:
        """Tell of a job that has been given, once the end of the worker's last one has been told."""
        if worker.concluding is not None:
            await worker.concluding
            worker.concluding = None
        for queue in queues:
            self.services.hub.send("status", status_data(queue))
        if not run.ended:  # the worker may have been lost meanwhile
            run.begin()
        worker.beginning = None

    async def _renew(self, job_id: str, token: int) -> None:
        until = time.monotonic() + self.lease_seconds
        await self.services.database.write(
            lambda connection: jobs.renew(connection, job_id, token, until), lasting=False
        )

    async def _pump(self) -> None:
        """Give jobs to workers for as long as there are both."""
        if self._closing:
            return
        async with self._lock:
            for worker in [worker for worker in self.workers.values() if worker.ready]:
                if not await self._give(worker):
                    return

    async def _give(self, worker: Worker) -> bool:
        until = time.monotonic() + self.lease_seconds

        def write(connection: sqlite3.Connection) -> tuple[JobRecord | None, QueueState]:
            record = jobs.claim(connection, worker.id, lease_until=until, now=time.time())
            return record, queue_order.state(connection)

        # Not lasting: a machine without power has forgotten the worker as well.
        record, self._queue = await self.services.database.write(write, lasting=False)
        if record is None:
            return False
        sys.audit("loom.job.claimed", record.id)
        run = open_run(record, self.services)
        if worker.id not in self.workers:
            await run.lost("left before it got the job", counts=False)
            return True
        worker.ready, worker.run = False, run
        queues = [self._queue]
        if record.id in self._unannounced:  # taken while its submission still waits for the disk
            self._unannounced.discard(record.id)
            queues.append(self._queue)
        if worker.concluding is None:
            await self._begin(worker, run, queues)
        else:
            worker.beginning = self._spawn(self._begin(worker, run, queues))
        order = Job(record.id, record.token, record.prompt, record.outputs, record.extra_data, record.client_id)
        with contextlib.suppress(ConnectionError):  # then its connection ends, and `left` queues the job again
            await worker.channel.send(order)
        sys.audit("loom.job.sent", record.id)
        return True

    async def _press(self, worker: Worker, run: ActiveRun) -> None:
        """Give a cancelled job's worker its time to yield, which it can after each step, then end the worker."""
        await asyncio.sleep(self.cancel_grace_seconds + min(run.step_seconds, _LONGEST_STEP))
        if worker.run is run and not run.ended:
            log.warning("job %s did not yield; its worker is ended", run.record.id)
            await self._end(worker, "was ended because it did not yield")

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
                if time.monotonic() - forgotten_at > _FORGET_SECONDS:
                    forgotten_at = time.monotonic()
                    await self._forget()
            except AppError as broken:
                log.error("leases cannot be looked after: %s", broken)

    async def _sweep_once(self) -> None:
        """Take workers whose lease has run out, or that are silent, for lost, and jobs that nobody works on."""
        over = set(await self.services.database.read(_expired_by_now))
        now = time.monotonic()
        for worker in list(self.workers.values()):
            held = worker.run and (worker.run.record.id, worker.run.record.token)
            if held in over or now - worker.heard_at > _SILENT_BEATS * self.lease_seconds:
                await self._end(worker, f"did not answer for {self.lease_seconds:.0f} s")
            over.discard(held or ("", 0))
        for job_id, token in over:
            await self._reclaim(job_id, token)
        await self._pump()  # a claim may have failed, say for want of disk space

    async def _forget(self) -> None:
        """Keep history and events within their limits."""

        def prune(connection: sqlite3.Connection) -> None:
            stored_events.prune(connection, time.time())
            job_queries.prune(connection)

        await self.services.database.write(prune)

    async def _reclaim(self, job_id: str, token: int) -> None:
        """A job whose end could not be written, say for want of disk space: nobody has it any more."""
        record = await self.services.database.read(lambda connection: job_queries.get(connection, job_id))
        loss, losses = await self.services.database.write(lambda connection: jobs.lose(connection, job_id, token))
        if record is not None:
            await self._settle(record, loss, losses, "was lost before its end could be written")
            await self.announce()
            await self._pump()

    async def _settle(self, record: JobRecord, loss: Loss, losses: int, reason: str) -> None:
        """Take note of a job that was lost; write its end if that was once too often, or if it was cancelled."""
        run = open_run(record, self.services)
        if loss == "queued":
            await run.told_lost(reason, losses)
        elif loss == "poisoned":
            await run.hear(worker_lost(("", ""), losses, reason))
        elif loss == "cancelled":
            await run.hear(RunInterrupted("", ""))

    def _soon(self, due: asyncio.Event, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do the work in a moment, once for all who ask until then."""

        async def do() -> None:
            due.clear()
            await work()

        if not due.is_set():
            due.set()
            self._spawn(do())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task of the dispatcher failed", exc_info=error)


def _expired_by_now(connection: sqlite3.Connection) -> list[tuple[str, int]]:
    return jobs.expired(connection, time.monotonic())

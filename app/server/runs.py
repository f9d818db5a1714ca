"""One job while a worker has it: its events become messages, stored events, published files and a history entry."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from app.engine.events import Event, NodeFinished, NodeStarted, Progress, RunFailed, RunInterrupted
from app.errors import AppError
from app.server.event_log import EventLog
from app.server.hub import Hub
from app.server.publisher import Publisher
from app.server.wire import Picture, RunTranslator, Said
from app.store import jobs, queue_order, records
from app.store.database import Database
from app.store.job_records import JobRecord, Outcome
from app.store.queue_order import QueueState


@dataclass(frozen=True, slots=True)
class RunServices:
    """What a run writes to."""

    database: Database
    publisher: Publisher
    hub: Hub
    log: EventLog


@dataclass(slots=True)
class ActiveRun:
    """A claimed job. Make it with `open_run`. `step_seconds` is how long the last step of the node that runs took."""

    record: JobRecord
    services: RunServices
    translator: RunTranslator
    ended: bool = False
    step_seconds: float = 0.0
    _stepped_at: float = field(default_factory=time.monotonic)

    @property
    def client(self) -> str | None:
        """Who submitted the job."""
        return self.record.client_id

    def begin(self) -> None:
        """Say that a worker has taken the job."""
        self._say(self.translator.begin())

    async def hear(self, event: Event) -> None:
        """Take in what the worker says; `ended` is set once the job has ended for good.

        An output that cannot be published fails the job.
        """
        if isinstance(event, NodeStarted | Progress):
            now = time.monotonic()
            self.step_seconds = now - self._stepped_at if isinstance(event, Progress) else 0.0
            self._stepped_at = now
        if isinstance(event, NodeFinished) and event.ui:
            try:
                event = replace(event, ui=await self.services.publisher.publish_ui(event.ui, *self._place(event)))
            except (AppError, OSError) as broken:
                event = _unpublished(event, broken)
        said = self.translator.translate(event)
        if self.translator.outcome is None:
            self._say(said)
        else:
            await self._finish(self.translator.outcome, said)

    async def lost(self, reason: str, *, counts: bool = True) -> None:
        """The worker is gone: queue the job again, or end it when it was cancelled or lost too often."""
        if self.ended:
            return
        self.ended = True
        loss, losses = await self.services.log.save_with(
            lambda connection: jobs.lose(connection, self.record.id, self.record.token, counts=counts)
        )
        if loss == "queued":
            await self.told_lost(reason, losses)
        elif loss == "poisoned":
            self.ended = False
            await self.hear(worker_lost(self.translator.last_node, losses, reason))
        elif loss == "cancelled":
            self.ended = False
            await self.hear(RunInterrupted("", ""))

    async def told_lost(self, reason: str, losses: int) -> None:
        """Tell that the job is queued again, and why."""
        data = {"prompt_id": self.record.id, "reason": reason, "losses": losses, "timestamp": _milliseconds()}
        self._say([Said("job_requeued", data, to_all=True)])
        await self.services.log.save()

    async def _finish(self, outcome: Outcome, said: Iterable[Said | Picture]) -> None:
        """Make the history entry durable, and only then tell that the run is over."""
        self.ended = True
        numbered = [(item, self._number(item)) for item in said]
        last = Said("executing", {"node": None, "prompt_id": self.record.id})
        seq = self._number(last)
        record, now = self.record, time.time()

        def write(connection: sqlite3.Connection) -> QueueState | None:
            ended = jobs.finish(connection, record.id, record.token, outcome, now)
            if ended:
                records.write(connection, record.id, self.translator.nodes.values(), now)
            return queue_order.state(connection) if ended else None

        queue = await self.services.log.save_with(write)
        sys.audit("loom.job.ended")
        if queue is not None:
            for item, number in numbered:
                self._send(item, number)
            self.services.hub.send("status", status_data(queue))
            self._send(last, seq)

    def _say(self, said: Iterable[Said | Picture]) -> None:
        for item in said:
            self._send(item, self._number(item))

    def _number(self, item: Said | Picture) -> int | None:
        if isinstance(item, Picture) or not item.stored:
            return None
        return self.services.log.add(self.record.id, item.type, item.data)

    def _send(self, item: Said | Picture, seq: int | None) -> None:
        hub = self.services.hub
        if isinstance(item, Picture):
            hub.send_preview(item.metadata, item.image, self.client)
        elif item.to_all or self.client is not None:
            hub.send(item.type, item.data, self.client, seq)

    def _place(self, event: NodeFinished) -> tuple[str, str]:
        return self.record.id, event.node_id


def open_run(record: JobRecord, services: RunServices) -> ActiveRun:
    """The run of a job that was just claimed."""
    return ActiveRun(record, services, translator_for(record))


def translator_for(record: JobRecord) -> RunTranslator:
    """A translator for the job's events."""
    return RunTranslator(record.id, frozenset(record.outputs), tuple(record.prompt), time.time)


def worker_lost(last_node: tuple[str, str], losses: int, reason: str) -> RunFailed:
    """The failure of a job that took its worker down once too often."""
    node_id, class_type = last_node
    where = f"while node {node_id} ({class_type}) ran" if node_id else "before any node ran"
    return RunFailed(
        node_id=node_id,
        class_type=class_type,
        message=f"The worker process was lost {losses} times with this job, the last time {where}: it {reason}.",
        exception_type="WorkerLost",
        traceback=(),
        remedy="Use less memory (smaller or fewer pictures), or remove the node that crashes; then queue it again.",
    )


def status_data(queue: QueueState) -> dict[str, object]:
    """The data of a `status` message."""
    return {"status": {"exec_info": exec_info(queue)}}


def exec_info(queue: QueueState) -> dict[str, object]:
    """The queue in a few words."""
    return {"queue_remaining": queue.remaining, "paused": queue.paused}


def _unpublished(event: NodeFinished, broken: Exception) -> RunFailed:
    told = isinstance(broken, AppError)
    return RunFailed(
        node_id=event.node_id,
        class_type=event.class_type,
        message=f"The output could not be saved: {broken.message if told else broken}",
        exception_type=type(broken).__name__,
        traceback=(),
        remedy=broken.remedy if told else "Free space on the disk, or make the output folder writable.",
    )


def _milliseconds() -> int:
    return int(time.time() * 1000)

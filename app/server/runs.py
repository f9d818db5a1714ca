"""One job while a worker has it: its events become messages, stored events, published files and a history entry."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from app.engine.events import Event, NodeFinished, NodeStarted, Progress, RunFailed, RunInterrupted, RunSucceeded
from app.errors import AppError
from app.graph.json_values import is_dict
from app.server.event_log import EventLog
from app.server.hub import Hub
from app.server.publisher import Publisher, has_staged
from app.server.queue_news import QueueNews
from app.server.replies import to_json
from app.server.teller import Held, Teller, Telling
from app.server.wire import Picture, RunTranslator, Said
from app.store import jobs, records
from app.store.database import Database
from app.store.job_records import JobRecord, Outcome

Also = Callable[[sqlite3.Connection], object]

_LONGEST_TAGS = 4096  # characters of JSON


@dataclass(frozen=True, slots=True)
class RunServices:
    """What a run writes to."""

    database: Database
    publisher: Publisher
    hub: Hub
    log: EventLog
    news: QueueNews


@dataclass(eq=False, slots=True)
class ActiveRun:
    """A claimed job. Make it with `open_run`.

    `begun_at`, in the monotonic clock, is when its worker began with it, `step_seconds` is how long the last step of
    the node that runs took. `ended` is set as soon as no word about it counts any more. `tags` are the client's own,
    told with every message.
    """

    record: JobRecord
    services: RunServices
    translator: RunTranslator
    teller: Teller
    tags: Mapping[str, Any] = field(default_factory=dict[str, Any])
    begun: bool = False
    ended: bool = False
    begun_at: float = 0.0
    step_seconds: float = 0.0
    _stepped_at: float = field(default_factory=time.monotonic)

    @property
    def client(self) -> str | None:
        """Who submitted the job."""
        return self.record.client_id

    def begin(self) -> None:
        """Say that a worker has begun with the job."""
        self.begun = True
        self.begun_at = self._stepped_at = time.monotonic()
        self.teller.tell(self.services.news.tell)
        self._say(self.translator.begin())

    async def hear(self, event: Event) -> None:
        """Take in what the worker says; `ended` is set once the job has ended for good.

        An output that cannot be published fails the job.
        """
        if isinstance(event, NodeStarted | Progress):
            now = time.monotonic()
            self.step_seconds = now - self._stepped_at if isinstance(event, Progress) else 0.0
            self._stepped_at = now
        if isinstance(event, NodeFinished) and event.ui and has_staged(event.ui):
            try:
                event = replace(event, ui=await self.services.publisher.publish_ui(event.ui, *self._place(event)))
            except (AppError, OSError) as broken:
                await self.conclude(_unpublished(event, broken))
                return
        if isinstance(event, RunSucceeded | RunFailed | RunInterrupted):
            await self.conclude(event)
        else:
            self._say(self.translator.translate(event))

    def conclude(self, last: RunSucceeded | RunFailed | RunInterrupted, also: Also | None = None) -> Awaitable[None]:
        """End the job: from now on nothing more is heard of it, and what is awaited makes its history entry durable and
        only then tells that the run is over. `also` is written in the same transaction."""
        self.ended = True
        said = self.translator.translate(last)
        outcome = self.translator.outcome
        assert outcome is not None
        over = Said("executing", {"node": None, "prompt_id": self.record.id})
        tellings = [*map(self._telling, said), self.services.news.tell, self._telling(over)]
        return self._write_end(outcome, self.teller.hold(), tellings, also)

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
            await self.conclude(worker_lost(self.translator.last_node, losses, reason))
        elif loss == "cancelled":
            await self.conclude(RunInterrupted("", ""))

    async def told_lost(self, reason: str, losses: int) -> None:
        """Tell that the job is queued again, and why."""
        data = {"prompt_id": self.record.id, "reason": reason, "losses": losses, "timestamp": _milliseconds()}
        self._say([Said("job_requeued", data, to_all=True)])
        await self.services.log.save()

    async def given_back(self) -> None:
        """The worker has not begun with the job and hands it back: it waits again, as if nothing had been, or has ended
        if it was cancelled meanwhile."""
        if self.ended:
            return
        self.ended = True
        record, now = self.record, time.time()
        # Not lasting: a machine without power has forgotten the worker as well, and a cancel is written down already.
        cancelled = await self.services.database.write(
            lambda connection: jobs.give_back(connection, record.id, record.token, now), lasting=False
        )
        if cancelled:
            self.services.news.count(-1)
        self.services.news.tell_soon()

    async def _write_end(self, outcome: Outcome, place: Held, tellings: list[Telling], also: Also | None) -> None:
        record, now = self.record, time.time()

        def write(connection: sqlite3.Connection) -> bool:
            ended = jobs.finish(connection, record.id, record.token, outcome, now)
            if ended:
                records.write(connection, record.id, self.translator.nodes.values(), now)
            if also is not None:
                also(connection)
            return ended

        told: list[Telling] = []
        try:
            if await self.services.log.save_with(write):
                self.services.news.count(-1)
                told = tellings
            sys.audit("loom.job.ended")
        finally:
            self.teller.release(place, told)

    def _say(self, said: Iterable[Said | Picture]) -> None:
        for item in said:
            self.teller.tell(self._telling(item))

    def _telling(self, item: Said | Picture) -> Telling:
        """How a message is sent to those whom it concerns. One to be stored gets its number here."""
        hub, client = self.services.hub, self.client
        if isinstance(item, Picture):
            return partial(hub.send_preview, {**self.tags, **item.metadata}, item.image, client)
        if self.tags:
            item = replace(item, data={**self.tags, **item.data})
        stored = self.services.log.add(self.record.id, item.type, item.data) if item.stored else None
        if not item.to_all and client is None:
            return _nothing
        if stored is not None:
            return partial(hub.send_text, item.type, stored.text, client, stored.seq)
        return partial(hub.send, item.type, item.data, client)

    def _place(self, event: NodeFinished) -> tuple[str, str]:
        return self.record.id, event.node_id


def _nothing() -> None:
    """What a job without a client has to tell of most things."""


def open_run(record: JobRecord, services: RunServices, teller: Teller | None = None) -> ActiveRun:
    """The run of a job that was just claimed. `teller` is that of its worker."""
    return ActiveRun(record, services, translator_for(record), teller or Teller(), tags_of(record))


def tags_of(record: JobRecord) -> Mapping[str, Any]:
    """What a client wants to hear with every message of its job, say which of its windows asked: `metadata` of the
    extra data. Long ones are left out, since they would be sent with each step."""
    if '"metadata":' not in record.extra_data_text:  # reading it all would cost more than most runs
        return {}
    tags: object = record.extra_data.get("metadata")
    return tags if is_dict(tags) and len(to_json(tags)) <= _LONGEST_TAGS else {}


def translator_for(record: JobRecord) -> RunTranslator:
    """A translator for the job's events."""
    return RunTranslator(record.id, frozenset(record.outputs), lambda: record.prompt, time.time)


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

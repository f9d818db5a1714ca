"""A connected worker, and the jobs that it has: the one it works on, and quick ones that it was given ahead."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.link.messages import Hello, Message
from app.server.questions import Questions
from app.server.runs import ActiveRun
from app.server.teller import Teller


class Channel(Protocol):
    """A connection to a worker."""

    async def send(self, *messages: Message) -> None:
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
    """A connected worker.

    `runs` are the jobs that it has in their order, of which it works on the first. `ready` when it said that it has
    nothing to do, `quick` when its last job was over in no time. `asked_back` are jobs that it ought to give back
    unless it has begun them; each is set as soon as it is known what became of it.
    """

    id: str
    channel: Channel
    hello: Hello
    teller: Teller
    runs: deque[ActiveRun] = field(default_factory=deque[ActiveRun])
    ready: bool = False
    quick: bool = False
    watch: asyncio.TimerHandle | None = None
    asked_back: dict[ActiveRun, asyncio.Event] = field(default_factory=dict[ActiveRun, asyncio.Event])
    devices: tuple[Mapping[str, Any], ...] = ()
    heard_at: float = field(default_factory=time.monotonic)
    questions: Questions = field(default_factory=Questions)

    @property
    def run(self) -> ActiveRun | None:
        """The job that it works on."""
        return self.runs[0] if self.runs else None

    @property
    def ahead(self) -> list[ActiveRun]:
        """The jobs that it has not begun."""
        return list(self.runs)[1:]

    @property
    def room(self) -> int:
        """How many more jobs it may be given now."""
        ahead = self.hello.ahead if self.quick else 0
        if self.runs:
            return max(1 + ahead - len(self.runs), 0)
        return 1 + ahead if self.ready else 0

    def find(self, job_id: str, token: int | None = None) -> ActiveRun | None:
        """Its run of that job, under that token if one is given."""
        for run in self.runs:
            if run.record.id == job_id and token in (None, run.record.token):
                return run
        return None

    def begin_first(self) -> None:
        """It works on its first job from now on, if it has one."""
        if self.runs and not self.runs[0].begun:
            self.runs[0].begin()
            self.settled(self.runs[0])

    def drop(self, run: ActiveRun) -> None:
        """It has that job no more."""
        self.runs.remove(run)
        self.settled(run)

    def settled(self, run: ActiveRun) -> None:
        """It is known what became of a job that was asked back."""
        known = self.asked_back.pop(run, None)
        if known is not None:
            known.set()

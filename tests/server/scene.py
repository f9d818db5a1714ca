"""A dispatcher with everything around it in reach, and workers that are scripts in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.engine.events import Event
from app.link.messages import Hello, Job, Message, Ready, bundle, decode, encode, encode_event, unbundle
from app.server.dispatch import Dispatcher, Worker
from app.server.event_log import EventLog
from app.server.hub import Hub
from app.server.publisher import Publisher
from app.server.queue_news import QueueNews
from app.server.runs import RunServices
from app.store import job_queries
from app.store.database import Database
from app.store.job_records import JobRecord, Submission
from app.store.outputs import OutputFolders
from app.store.published import DatabaseIndex


@dataclass
class Channel:
    """What a worker was told."""

    told: list[Message] = field(default_factory=list)
    broken: bool = False
    closed: bool = False

    async def send(self, *messages: Message) -> None:
        if self.broken:
            raise ConnectionResetError("gone")
        self.told += [message for text in bundle([encode(each) for each in messages]) for message in unbundle(text)]

    async def close(self) -> None:
        self.closed = True

    def jobs(self) -> list[Job]:
        return [said for said in self.told if isinstance(said, Job)]


@dataclass
class Processes:
    """Which processes were killed."""

    killed: list[int] = field(default_factory=list)
    well: list[int] = field(default_factory=list)

    def kill(self, process_id: int) -> bool:
        self.killed.append(process_id)
        return True

    def joined(self, process_id: int) -> None:
        self.well.append(process_id)

    async def ending(self, process_id: int) -> str:
        return f"ended, number {process_id}"


class Heard(Hub):
    """A hub that keeps what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, Any, str | None]] = []
        self.pictures = 0

    def send(self, kind: str, data: Any, to: str | None = None, seq: int | None = None) -> None:
        self.sent.append((kind, data, to))

    def send_text(self, kind: str, text: str, to: str | None = None, seq: int | None = None) -> None:
        self.send(kind, json.loads(text), to, seq)

    def send_preview(self, metadata: Any, image: bytes, to: str | None = None) -> None:
        self.pictures += 1

    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.sent if kind != "status"]


@dataclass
class Scene:
    """A dispatcher with everything around it in reach."""

    dispatcher: Dispatcher
    database: Database
    hub: Heard
    outputs: OutputFolders
    processes: Processes

    async def submit(self, name: str = "j", **more: Any) -> None:
        submission = Submission(name, {"1": {"class_type": "A", "inputs": {}}}, ["1"], client_id="c", **more)
        await self.dispatcher.submit(submission, keys=[name], digest="d", node_errors={})
        await self.settle()

    async def join(self, process_id: int = 1, ahead: int = 0) -> tuple[Worker, Channel]:
        channel = Channel()
        worker = self.dispatcher.joined(channel, Hello(process_id=process_id, ahead=ahead))
        await self.dispatcher.heard(worker, Ready())
        await self.settle()
        return worker, channel

    async def say(self, worker: Worker, *events: Event, job: str = "j", token: int = 1) -> None:
        for event in events:
            said = encode_event(job, token, event)
            await self.dispatcher.heard(worker, said if isinstance(said, bytes) else decode(said))
        await self.settle()

    async def job(self, name: str = "j") -> JobRecord:
        found = await self.database.read(lambda connection: job_queries.get(connection, name))
        assert found is not None
        return found

    async def settle(self) -> None:
        """Let what the dispatcher has begun come to its end: jobs given out, ends written, messages sent."""
        dispatcher = self.dispatcher
        for _ in range(3):
            await self.database.write(lambda connection: None)  # answered after all that was asked before
            while dispatcher._pumping or dispatcher._endings or dispatcher._lock.locked():
                await asyncio.sleep(0)


@asynccontextmanager
async def opened_scene(base: Path) -> AsyncIterator[Scene]:
    """A scene, for as long as the context lasts."""
    database = Database(base / "x.sqlite")
    hub, processes = Heard(), Processes()
    outputs = OutputFolders(base / "output", base / "temp", DatabaseIndex(database))
    publisher = Publisher(outputs)
    services = RunServices(database, publisher, hub, EventLog(database), QueueNews(hub))
    dispatcher = Dispatcher(services, 30.0, 0.05, processes)
    await dispatcher.start()
    yield Scene(dispatcher, database, hub, outputs, processes)
    await dispatcher.close()
    publisher.close()
    database.close()

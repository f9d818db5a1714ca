"""The worker's side of the link: dials the server, runs jobs in the calling thread, talks in another.

Torch-free: what a job means is the `evaluate` that the caller brings.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from app.engine.events import (
    Event,
    NodeFinished,
    NodeStarted,
    Preview,
    Progress,
    RunFailed,
    RunInterrupted,
    RunSucceeded,
)
from app.errors import AppError, Cancelled
from app.link.messages import (
    Answer,
    Ask,
    Cancel,
    Done,
    Free,
    Heartbeat,
    Hello,
    Job,
    Message,
    Ready,
    Return,
    Returned,
    Stop,
    Welcome,
    bundle,
    encode,
    unbundle,
)
from app.link.messages import encode_event as encode_run_event

log = logging.getLogger(__name__)

Emit = Callable[[Event], None]
Interrupted = Callable[[], bool]
Evaluate = Callable[[Job, Emit, Interrupted], None]
Asked = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
Devices = Callable[[], Sequence[Mapping[str, Any]]]

_TERMINAL = (RunSucceeded, RunFailed, RunInterrupted)
_LARGEST_MESSAGE = 256 << 20
_QUICK_SECONDS = 0.02
_AHEAD = 3  # jobs that wait here, so that none of a row of quick ones waits for the way to the server and back
_WAITS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(slots=True)
class _Outbox:
    """Messages on their way out. Pictures and progress that a newer one makes pointless are dropped while they wait."""

    _items: deque[tuple[object, str | bytes]] = field(default_factory=deque[tuple[object, str | bytes]])
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _put: int = 0
    _sent: int = 0

    def put(self, content: str | bytes, replaces: object = None) -> tuple[int, bool]:
        """Add a message; its number, and whether nothing waited before. One that waits with an equal, not None
        `replaces` goes."""
        with self._changed:
            first = not self._items
            if replaces is not None and not first:
                self._items = deque(item for item in self._items if item[0] != replaces)
            self._items.append((replaces, content))
            self._put += 1
            return self._put, first

    def take(self) -> tuple[list[str | bytes], int]:
        """All that waits, oldest first, and the number of the last."""
        with self._changed:
            items, self._items = self._items, deque()
            return [content for _, content in items], self._put

    def sent(self, number: int) -> None:
        """All messages up to that number are on the wire."""
        with self._changed:
            self._sent = number
            self._changed.notify_all()

    def wait_for(self, number: int, seconds: float) -> None:
        """Wait until that message is on the wire, but no longer than that."""
        with self._changed:
            self._changed.wait_for(lambda: self._sent >= number, seconds)

    def clear(self) -> None:
        """Forget all that waits."""
        self.sent(self.take()[1])


@dataclass(slots=True)
class _Current:
    """The job that the main thread works on, and whether it ought to stop."""

    job: Job
    stop: threading.Event = field(default_factory=threading.Event)
    ended: bool = False
    began: float = 0.0  # when the node that runs did, in the monotonic clock
    patience: float = 1.0  # seconds that may still be waited for announcements of nodes


class WorkerLoop:
    """Runs jobs for a server until told to stop.

    Args:
        url: the server's `ws://host:port/link`.
        secret: what the server wants to be shown.
        hello: how the worker introduces itself.
        evaluate: runs a job, telling events and asking now and then whether to stop. Called in the thread of `run`.
            What it raises becomes a `RunFailed`, so it may just raise.
        free: gives memory back (unload models, free results); called between jobs in the thread of `run`.
        devices: fresh figures for heartbeats; called in the talking thread, so it must be quick.
        asked: answers the server's questions (about what, with which data) in a thread of its own, beside a job.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        hello: Hello,
        evaluate: Evaluate,
        *,
        free: Callable[[bool, bool], None] = lambda unload_models, free_memory: None,
        devices: Devices = tuple,
        asked: Asked | None = None,
    ) -> None:
        self._url = url
        self._secret = secret
        self._hello = replace(hello, ahead=_AHEAD)
        self._evaluate = evaluate
        self._free = free
        self._devices = devices
        self._asked = asked
        self._answering: set[asyncio.Task[None]] = set()
        self._outbox = _Outbox()
        self._inbox: queue.SimpleQueue[_Current | Free | Stop] = queue.SimpleQueue()
        self._held: dict[tuple[str, int], _Current] = {}
        self._current: _Current | None = None
        self._took: dict[str, float] = {}
        self._lease_seconds = 30.0
        self._stopping = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._wake = asyncio.Event()
        self._welcomed = asyncio.Event()

    def run(self) -> None:
        """Work until the server says stop, `stop` is called or the server refuses the secret."""
        talker = threading.Thread(target=self._talk_in_thread, name="link", daemon=True)
        talker.start()
        try:
            while not isinstance(order := self._inbox.get(), Stop):
                if isinstance(order, Free):
                    self._give_back(order)
                else:
                    self._work(order)
        finally:
            self.stop()
            talker.join(timeout=5)

    def stop(self) -> None:
        """End `run` as soon as the job at hand yields. May be called from any thread."""
        self._stopping.set()
        self._held.clear()  # what has not been begun is somebody else's
        self._inbox.put(Stop())
        if (current := self._current) is not None:
            current.stop.set()
        with suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._wake.set)

    def tell(self, message: Message) -> None:
        """Say something beside the job at hand, in order with its events. May be called from any thread."""
        self._send(encode(message))

    # ------------------------------------------------------------ the thread of `run`

    def _work(self, current: _Current) -> None:
        job = current.job
        self._current = current  # first, so that a cancel finds the job here or among those that are held
        if self._held.pop((job.job_id, job.token), None) is not current:
            self._current = None
            return  # it was given back, or the connection that brought it was lost
        sys.audit("loom.worker.received", job.job_id)
        try:
            self._evaluate(job, lambda event: self._emit(current, event), current.stop.is_set)
        except Cancelled:
            self._emit(current, RunInterrupted(node_id="", class_type=""))
        except Exception as error:
            log.exception("job %s failed outside of its nodes", job.job_id)
            self._emit(current, _failure(error))
        if not current.ended:
            told = RunInterrupted("", "") if current.stop.is_set() else RunSucceeded()
            self._emit(current, told)
        sys.audit("loom.worker.ended", job.job_id)
        if self._current is current:
            self._current = None
            self._send(encode(Done(job.job_id, job.token)))
            self._send(encode(Ready()))
        sys.audit("loom.worker.done", job.job_id)

    def _emit(self, current: _Current, event: Event) -> None:
        if self._current is not current or current.ended:
            return  # nobody waits for it any more
        sys.audit("loom.worker.saying", type(event).__name__)
        current.ended = isinstance(event, _TERMINAL)
        key = (type(event), event.node_id) if isinstance(event, Preview | Progress) else None
        number = self._send(encode_run_event(current.job.job_id, current.job.token, event), key)
        now = time.monotonic()
        if isinstance(event, NodeFinished):
            self._took[event.class_type] = now - current.began
        elif isinstance(event, NodeStarted):
            current.began = now
        quick = isinstance(event, NodeStarted) and self._took.get(event.class_type, 1.0) < _QUICK_SECONDS
        if isinstance(event, NodeStarted) and current.patience > 0 and not quick:
            # A node that takes this process down is named to the user only if this was said before it runs. One that
            # was over in no time before is not waited for: the wait would be most of what it costs.
            began = time.monotonic()
            self._outbox.wait_for(number, min(current.patience, 0.2))
            current.patience -= time.monotonic() - began

    def _give_back(self, order: Free) -> None:
        try:
            self._free(order.unload_models, order.free_memory)
        except Exception:
            log.exception("memory could not be given back")

    def _send(self, content: str | bytes, replaces: object = None) -> int:
        number, first = self._outbox.put(content, replaces)
        if first:  # else the talking thread has been woken for those that wait
            with suppress(RuntimeError):  # the loop has ended: so has the need to say anything
                self._loop.call_soon_threadsafe(self._wake.set)
        return number

    # ------------------------------------------------------------ the talking thread

    def _talk_in_thread(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._talk())
        finally:
            self._inbox.put(Stop())
            self._loop.close()

    async def _talk(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                async with connect(
                    self._url,
                    additional_headers={"Authorization": f"Bearer {self._secret}"},
                    max_size=_LARGEST_MESSAGE,
                    compression=None,
                    proxy=None,
                    open_timeout=10,
                ) as connection:
                    failures = 0
                    await self._converse(connection)
            except InvalidStatus as refused:
                if refused.response.status_code in (401, 403):
                    log.error("the server refuses this worker's secret")
                    return
            except (OSError, TimeoutError, WebSocketException) as broken:
                log.warning("no connection to %s: %s", self._url, broken)
            self._abandon()
            if not self._stopping.is_set():
                await asyncio.sleep(_WAITS[min(failures, len(_WAITS) - 1)])
                failures += 1

    async def _converse(self, connection: ClientConnection) -> None:
        self._welcomed.clear()
        await connection.send(encode(self._hello))
        parts = (self._listen(connection), self._say(connection), self._beat(connection))
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                with suppress(ConnectionClosed):
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, connection: ClientConnection) -> None:
        async for text in connection:
            if isinstance(text, str):
                for message in unbundle(text):
                    self._hear(message)

    def _hear(self, message: object) -> None:
        if isinstance(message, Welcome):
            self._lease_seconds = message.lease_seconds
            self._welcomed.set()
            self._send(encode(Ready()))
        elif isinstance(message, Job):
            current = self._held[message.job_id, message.token] = _Current(message)
            self._inbox.put(current)
        elif isinstance(message, Cancel | Return):
            self._let_go(message)
        elif isinstance(message, Free):
            self._inbox.put(message)
        elif isinstance(message, Ask):
            task = self._loop.create_task(self._answer(message))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        elif isinstance(message, Stop):
            self.stop()

    def _let_go(self, order: Cancel | Return) -> None:
        """Hand a job back that has not been begun; one that has been is stopped if it is cancelled."""
        if self._held.pop((order.job_id, order.token), None) is not None:
            self._send(encode(Returned(order.job_id, order.token)))
            return
        current = self._current
        if current is None or isinstance(order, Return):
            return
        if (current.job.job_id, current.job.token) == (order.job_id, order.token):
            current.stop.set()

    async def _answer(self, question: Ask) -> None:
        """Answers in another thread: what is asked may take its time, and heartbeats must go on."""
        try:
            if self._asked is None:
                raise AppError(f"This worker knows nothing about {question.about}.")
            answer = Answer(question.ask_id, await asyncio.to_thread(self._asked, question.about, question.data))
        except Exception as error:
            answer = Answer(question.ask_id, problem=f"{type(error).__name__}: {error}"[:1000])
        self._send(encode(answer))

    async def _say(self, connection: ClientConnection) -> None:
        while True:
            contents, number = self._outbox.take()
            for kind, group in groupby(contents, type):
                for content in bundle([str(text) for text in group]) if kind is str else group:
                    await connection.send(content)
            self._outbox.sent(number)
            if self._stopping.is_set() and self._current is None:
                return
            await self._wake.wait()
            self._wake.clear()

    async def _beat(self, connection: ClientConnection) -> None:
        await self._welcomed.wait()
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            current = self._current
            name, token = (current.job.job_id, current.job.token) if current else (None, 0)
            await connection.send(encode(Heartbeat(name, token, tuple(self._devices()))))

    def _abandon(self) -> None:
        """The connection is lost, and with it the claim on the jobs."""
        self._held.clear()
        current, self._current = self._current, None
        if current is not None:
            current.stop.set()
        self._outbox.clear()


def _failure(error: Exception) -> RunFailed:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    told = isinstance(error, AppError)
    return RunFailed(
        node_id=(error.node_id or "") if told else "",
        class_type="",
        message=error.message if told else str(error),
        exception_type=name,
        traceback=tuple(traceback.format_exception(error)),
        remedy=error.remedy if told else "",
        input_name=error.input_name if told else None,
    )

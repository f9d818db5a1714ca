"""The worker's side of the link, against a server made of a script."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from app.engine.events import NodesCached, NodeStarted, Preview, Progress, RunSucceeded
from app.errors import InvalidRequest
from app.link.messages import (
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
    RunEvent,
    Stop,
    StoredJob,
    Welcome,
    bundle,
    decode_event,
    encode,
    unbundle,
)
from app.link.worker_client import Emit, Interrupted, WorkerLoop

JOB = Job("j", 1, {"1": {"class_type": "A", "inputs": {}}}, ("1",))


@dataclass
class Talk:
    """The server's end of one connection."""

    socket: ServerConnection
    heard: list[Message | bytes] = field(default_factory=list)
    unread: list[Message | bytes] = field(default_factory=list)

    async def until(self, kind: type[Message], **facts: Any) -> Message:
        async with asyncio.timeout(10):
            while True:
                if not self.unread:
                    text = await self.socket.recv()
                    self.unread += [text] if isinstance(text, bytes) else unbundle(text)
                said = self.unread.pop(0)
                self.heard.append(said)
                if isinstance(said, kind) and all(getattr(said, name) == value for name, value in facts.items()):
                    return said

    async def event(self, name: str) -> dict[str, Any]:
        while True:
            said = await self.until(RunEvent)
            assert isinstance(said, RunEvent)
            if said.event["event"] == name:
                return dict(said.event)

    async def say(self, message: Message) -> None:
        await self.socket.send(encode(message))

    async def begin(self, lease_seconds: float = 30.0) -> None:
        await self.until(Hello)
        await self.say(Welcome("w", lease_seconds))
        await self.until(Ready)


@asynccontextmanager
async def worker(
    script: Callable[[Talk], Awaitable[None]],
    evaluate: Callable[[Job, Emit, Interrupted], None],
    **options: Any,
) -> AsyncIterator[tuple[WorkerLoop, asyncio.Event, list[Exception]]]:
    """A worker that talks to `script`; the event is set when a script has come to its end."""
    over, broken = asyncio.Event(), list[Exception]()

    async def handle(socket: ServerConnection) -> None:
        assert socket.request is not None
        assert socket.request.headers["Authorization"] == "Bearer secret"
        try:
            await script(Talk(socket))
        except Exception as error:
            broken.append(error)
        over.set()

    async with serve(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        loop = WorkerLoop(f"ws://127.0.0.1:{port}/link", "secret", Hello(name="w"), evaluate, **options)
        thread = threading.Thread(target=loop.run)
        thread.start()
        try:
            yield loop, over, broken
        finally:
            await asyncio.to_thread(loop.stop)
            await asyncio.to_thread(thread.join, 10)
            assert not thread.is_alive()


async def played(script: Callable[[Talk], Awaitable[None]], evaluate: Any, **options: Any) -> None:
    """Play a script to its end."""
    async with worker(script, evaluate, **options) as (_, over, broken):
        async with asyncio.timeout(20):
            await over.wait()
        if broken:
            raise broken[0]


def succeed(job: Job, emit: Emit, interrupted: Interrupted) -> None:
    emit(NodesCached(()))
    emit(Preview("1", "image/png", b"picture"))
    emit(RunSucceeded())


async def test_a_job_from_begin_to_end() -> None:
    async def script(talk: Talk) -> None:
        await talk.begin()
        await talk.say(JOB)
        await talk.until(Done, job_id="j", token=1)
        await talk.until(Ready)
        (picture,) = [said for said in talk.heard if isinstance(said, bytes)]
        assert decode_event(picture) == ("j", 1, Preview("1", "image/png", b"picture"))
        events = [said.event["event"] for said in talk.heard if isinstance(said, RunEvent)]
        assert events == ["nodes_cached", "run_succeeded"]

    await played(script, succeed)


async def test_what_evaluate_raises_is_a_failure_with_a_way_out() -> None:
    errors = iter([InvalidRequest("It is wrong.", remedy="Mend it.", node_id="7", input_name="x"), ValueError("odd")])

    def fail(*_: Any) -> None:
        raise next(errors)

    async def script(talk: Talk) -> None:
        await talk.begin()
        await talk.say(JOB)
        told = await talk.event("run_failed")
        assert (told["message"], told["remedy"], told["node_id"]) == ("It is wrong.", "Mend it.", "7")
        assert told["input_name"] == "x"
        await talk.until(Ready)
        await talk.say(JOB)
        told = await talk.event("run_failed")
        assert (told["message"], told["exception_type"]) == ("odd", "ValueError")
        assert "ValueError: odd" in told["traceback"][-1]

    await played(script, fail)


async def test_cancelling_is_seen_at_the_next_question() -> None:
    def patient(job: Job, emit: Emit, interrupted: Interrupted) -> None:
        emit(NodeStarted("1", "A", "1"))
        while not interrupted():
            time.sleep(0.005)

    async def script(talk: Talk) -> None:
        await talk.begin()
        await talk.say(JOB)
        await talk.event("node_started")
        await talk.say(Cancel("another", 1))
        await talk.say(Cancel("j", 99))
        await asyncio.sleep(0.05)
        await talk.say(Cancel("j", 1))
        await talk.event("run_interrupted")
        await talk.until(Done)

    await played(script, patient)


async def test_a_lost_connection_ends_the_job_and_is_dialled_again() -> None:
    stopped = threading.Event()
    ran: list[str] = []
    connections = 0

    def patient(job: Job, emit: Emit, interrupted: Interrupted) -> None:
        ran.append(job.job_id)
        if job.job_id == "j":
            emit(NodeStarted("1", "A", "1"))
            while not interrupted():
                time.sleep(0.005)
            stopped.set()

    async def script(talk: Talk) -> None:
        nonlocal connections
        connections += 1
        await talk.begin()
        if connections == 1:
            await talk.say(JOB)
            await talk.say(Job("ahead", 1, {}, ()))
            await talk.event("node_started")
            await talk.socket.close()
            return
        assert await asyncio.to_thread(stopped.wait, 10)
        await talk.say(Job("k", 1, {}, ()))
        await talk.event("run_succeeded")
        assert all(said.job_id == "k" for said in talk.heard if isinstance(said, RunEvent | Done))
        assert "ahead" not in ran  # what it had ahead is somebody else's by now

    async with worker(script, patient) as (_, over, broken):
        async with asyncio.timeout(20):
            while connections < 2:
                await asyncio.sleep(0.02)
            over.clear()
            await over.wait()
        assert broken == []


async def test_heartbeats_come_from_a_busy_worker() -> None:
    def busy(job: Job, emit: Emit, interrupted: Interrupted) -> None:
        time.sleep(0.4)

    async def script(talk: Talk) -> None:
        await talk.begin(lease_seconds=0.15)
        await talk.until(Heartbeat, job_id=None)
        await talk.say(JOB)
        beat = await talk.until(Heartbeat, job_id="j")
        assert isinstance(beat, Heartbeat)
        assert (beat.token, list(beat.devices)) == (1, [{"name": "cpu"}])
        await talk.until(Done)

    await played(script, busy, devices=lambda: [{"name": "cpu"}])


async def test_memory_is_given_back_between_jobs() -> None:
    asked: list[tuple[bool, bool]] = []

    def free(unload_models: bool, free_memory: bool) -> None:
        asked.append((unload_models, free_memory))
        raise RuntimeError("even so the worker goes on")

    async def script(talk: Talk) -> None:
        await talk.begin()
        await talk.say(Free(True, True))
        await talk.say(JOB)
        await talk.until(Done)
        assert asked == [(True, True)]

    await played(script, succeed, free=free)


async def test_progress_that_waits_is_replaced_and_the_last_one_arrives() -> None:
    def chatty(job: Job, emit: Emit, interrupted: Interrupted) -> None:
        for step in range(20_000):
            emit(Progress("1", step + 1, 20_000))

    async def script(talk: Talk) -> None:
        await talk.begin()
        await talk.say(JOB)
        await talk.until(Done)
        steps = [said.event["value"] for said in talk.heard if isinstance(said, RunEvent) and "value" in said.event]
        assert steps[-1] == 20_000
        assert steps == sorted(steps)
        assert len(steps) < 20_000

    await played(script, chatty)


async def test_a_node_is_announced_before_it_runs() -> None:
    heard = threading.Event()

    def node(job: Job, emit: Emit, interrupted: Interrupted) -> None:
        emit(NodeStarted("1", "A", "1"))
        assert heard.wait(5)

    async def script(talk: Talk) -> None:
        await talk.begin()
        await talk.say(JOB)
        await talk.event("node_started")
        heard.set()
        await talk.until(Done)

    await played(script, node)


async def test_told_to_stop() -> None:
    async def script(talk: Talk) -> None:
        await talk.begin()
        await talk.say(Stop())
        await asyncio.wait_for(talk.socket.wait_closed(), 5)

    await played(script, succeed)


class Gated:
    """Runs jobs as they are let."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.gate = threading.Semaphore(0)

    def __call__(self, job: Job, emit: Emit, interrupted: Interrupted) -> None:
        self.ran.append(job.job_id)
        emit(NodesCached(()))
        assert self.gate.acquire(timeout=20)


def named(name: str, token: int = 1) -> Job:
    return Job(name, token, {}, ())


async def test_jobs_ahead_are_begun_by_themselves_in_their_order() -> None:
    evaluate = Gated()

    async def script(talk: Talk) -> None:
        await talk.begin()
        (hello,) = (said for said in talk.heard if isinstance(said, Hello))
        assert hello.ahead >= 1
        texts = [encode(StoredJob(name, 1, '{"1": {}}', ())) for name in ("a", "b", "c")]
        for text in bundle(texts):  # several jobs in one text
            await talk.socket.send(text)
        for _ in texts:
            evaluate.gate.release()
        for name in ("a", "b", "c"):
            await talk.until(Done, job_id=name)
        assert evaluate.ran == ["a", "b", "c"]

    await played(script, evaluate)


async def test_what_is_not_begun_is_handed_back_and_what_is_begun_goes_on() -> None:
    evaluate = Gated()

    async def script(talk: Talk) -> None:
        await talk.begin()
        for name in ("a", "b", "c"):
            await talk.say(named(name))
        await talk.event("nodes_cached")
        await talk.say(Return("a", 1))  # it is begun
        await talk.say(Return("b", 2))  # of another claim
        await talk.say(Return("c", 1))
        await talk.until(Returned, job_id="c", token=1)
        await talk.say(Cancel("b", 1))
        await talk.until(Returned, job_id="b", token=1)
        await talk.say(Return("b", 1))  # again
        evaluate.gate.release()
        await talk.event("run_succeeded")
        await talk.until(Ready)
        await talk.say(named("c", 2))  # given anew
        evaluate.gate.release()
        await talk.until(Done, job_id="c", token=2)
        assert evaluate.ran == ["a", "c"]
        returned = [said for said in talk.heard if isinstance(said, Returned)]
        assert returned == [Returned("c", 1), Returned("b", 1)]

    await played(script, evaluate)


async def test_a_worker_that_stops_begins_with_nothing_more() -> None:
    ran: list[str] = []

    def until_told(job: Job, emit: Emit, interrupted: Interrupted) -> None:
        ran.append(job.job_id)
        emit(NodesCached(()))
        while not interrupted():
            time.sleep(0.005)

    async def script(talk: Talk) -> None:
        await talk.begin()
        for name in ("a", "b"):
            await talk.say(named(name))
        await talk.event("nodes_cached")
        await talk.say(Stop())
        await asyncio.wait_for(talk.socket.wait_closed(), 20)
        assert ran == ["a"]

    await played(script, until_told)


async def test_jobs_that_are_over_leave_nothing_behind() -> None:
    async def script(talk: Talk) -> None:
        await talk.begin()
        for n in range(30):
            await talk.say(named(f"j{n}"))
            if n % 5 == 4:
                await talk.say(Return(f"j{n}", 1))
        await talk.until(Done, job_id="j28")

    async with worker(script, succeed) as (loop, over, broken):
        async with asyncio.timeout(30):
            await over.wait()
        assert broken == []
        async with asyncio.timeout(30):
            while loop._current is not None or loop._outbox._items or loop._held:
                await asyncio.sleep(0.01)

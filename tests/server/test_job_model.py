"""Random lives of many jobs, workers and servers beside a model of a few lines: nothing is lost, doubled or reordered.

The dispatcher, the database and the published files are real; workers are scripts that say whatever they may say, and
sometimes what they must not. A server that dies does so without a word, and the next one opens the same database.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.engine.events import NodeFinished, NodeStarted, RunFailed, RunInterrupted, RunSucceeded
from app.errors import Conflict
from app.link.messages import Cancel, Done, Heartbeat, Hello, Job, Ready, decode, encode_event
from app.server.dispatch import Dispatcher, Worker
from app.server.event_log import EventLog
from app.server.publisher import Publisher
from app.server.queue_news import QueueNews
from app.server.runs import RunServices
from app.store import job_queries, jobs, queue_order
from app.store.database import Database
from app.store.job_records import Submission
from app.store.outputs import OutputFolders
from app.store.published import DatabaseIndex
from tests.server.test_workers import Channel, Heard, Processes

ENDED = ("succeeded", "failed", "cancelled")


@dataclass
class Model:
    """How it ought to be: states and losses by job, the queue in its order, who holds what."""

    state: dict[str, str] = field(default_factory=dict[str, str])
    losses: dict[str, int] = field(default_factory=dict[str, int])
    queue: list[str] = field(default_factory=list[str])
    wanted_gone: set[str] = field(default_factory=set[str])
    pictures: set[str] = field(default_factory=set[str])
    paused: bool = False

    def lose(self, name: str, *, counts: bool = True) -> None:
        self.losses[name] += counts
        if name in self.wanted_gone:
            self.state[name] = "cancelled"
        elif self.losses[name] >= jobs.MOST_LOSSES:
            self.state[name] = "failed"
        else:
            self.state[name] = "queued"


@dataclass(eq=False)
class Hand:
    """A worker of the test: the server's side of it, what it was told, and the job it believes to hold."""

    worker: Worker
    channel: Channel
    job: Job | None = None
    old: list[Job] = field(default_factory=list[Job])


T = TypeVar("T")


def pick(data: st.DataObject, items: Sequence[T]) -> T:
    return items[data.draw(st.integers(0, len(items) - 1))]


class Lives(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        memory = Path("/dev/shm")  # where there is one, thousands of commits take no time
        self.base = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.model = Model()
        self.hands: list[Hand] = []
        self.ids = 0

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        self.do(self.open())
        for _ in range(3):
            self.submit("back")
        self.join()

    async def open(self) -> None:
        self.database = Database(self.base / "x.sqlite")
        self.hub = Heard()
        self.outputs = OutputFolders(self.base / "output", self.base / "temp", DatabaseIndex(self.database))
        self.publisher = Publisher(self.outputs)
        services = RunServices(self.database, self.publisher, self.hub, EventLog(self.database), QueueNews(self.hub))
        self.dispatcher = Dispatcher(services, 30.0, 60.0, Processes())
        await self.dispatcher.start()

    async def die(self) -> None:
        """Without a word: no job is handed back, nothing is written."""
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self.publisher.close()
        self.database.close()

    def teardown(self) -> None:
        self.do(self.die())
        self.loop.close()
        shutil.rmtree(self.base)

    # ------------------------------------------------------------ clients

    @rule(place=st.sampled_from(["back", "front", "same key", "same key, other body"]))
    def submit(self, place: str) -> None:
        if place in ("back", "front") or not self.ids:
            self.ids += 1
            name = f"j{self.ids}"
            self.do(self.send(name, "d", front=place == "front"))
            self.model.state[name], self.model.losses[name] = "queued", 0
            self.model.queue.insert(0 if place == "front" else len(self.model.queue), name)
        elif place == "same key":
            assert self.do(self.send(f"j{self.ids}", "d")).repeated
        else:
            with suppress(Conflict):
                self.do(self.send(f"j{self.ids}", "other"))
                raise AssertionError("another body under a used key was taken")
        self.pump()

    async def send(self, name: str, digest: str, *, front: bool = False) -> Any:
        submission = Submission(name, {"1": {"class_type": "A", "inputs": {}}}, ["1"], front=front)
        return await self.dispatcher.submit(submission, keys=[name], digest=digest, node_errors={})

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        name = f"j{data.draw(st.integers(1, self.ids))}"
        before = self.model.state[name]
        assert self.do(self.dispatcher.cancel(name)) == (before not in ENDED)
        if before == "queued":
            self.model.state[name] = "cancelled"
            self.model.queue.remove(name)
        elif before == "running":
            self.model.wanted_gone.add(name)
            hand = next(hand for hand in self.hands if hand.job and hand.job.job_id == name)
            assert hand.job and hand.channel.told[-1] == Cancel(name, hand.job.token)

    @rule(held=st.booleans())
    def pause(self, held: bool) -> None:
        self.do(self.dispatcher.pause(held))
        self.model.paused = held
        self.pump()

    @precondition(lambda self: len(self.model.queue) > 1)
    @rule(data=st.data(), after=st.booleans())
    def move(self, data: st.DataObject, after: bool) -> None:
        name, other = data.draw(st.permutations(self.model.queue))[:2]
        moved = self.do(self.dispatcher.change_order(lambda c: queue_order.move_beside(c, name, other, after=after)))
        assert moved
        self.model.queue.remove(name)
        self.model.queue.insert(self.model.queue.index(other) + after, name)

    @rule()
    def clear(self) -> None:
        assert self.do(self.dispatcher.remove_queued(None)) == len(self.model.queue)
        self.model.state.update(dict.fromkeys(self.model.queue, "cancelled"))
        self.model.queue.clear()

    # ------------------------------------------------------------ workers

    @precondition(lambda self: len(self.hands) < 3)
    @rule()
    def join(self) -> None:
        channel = Channel()
        hand = Hand(self.dispatcher.joined(channel, Hello(process_id=self.ids)), channel)
        self.hands.append(hand)
        self.do(self.dispatcher.heard(hand.worker, Ready()))
        self.pump()

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.leave_with(pick(data, self.hands))

    @precondition(lambda self: any(hand.job for hand in self.hands))
    @rule(data=st.data(), end=st.sampled_from(["picture", "failure", "stop", "nothing", "cached picture"]))
    def work(self, data: st.DataObject, end: str) -> None:
        hand = pick(data, [hand for hand in self.hands if hand.job])
        assert hand.job
        name, job = hand.job.job_id, hand.job
        self.say(hand, job, NodeStarted("1", "A", "1"))
        if "picture" in end:
            self.say(hand, job, self.finished(name))
            self.model.pictures.add(name)
        if end == "cached picture":  # the worker dies after the picture was published and before the end
            self.leave_with(hand)
            return
        last = {"failure": RunFailed("1", "A", "no", "E", (), {}, (), ""), "stop": RunInterrupted("1", "A")}
        if end != "nothing":
            self.say(hand, job, last.get(end, RunSucceeded()))
            self.model.state[name] = {"failure": "failed", "stop": "cancelled"}.get(end, "succeeded")
        self.do(self.dispatcher.heard(hand.worker, Done(name, job.token)))
        if end == "nothing":  # its work is over, and it never said how the job ended
            self.lost(hand)
        hand.old.append(job)
        hand.job = None
        self.do(self.dispatcher.heard(hand.worker, Ready()))
        self.pump()

    @precondition(lambda self: any(hand.old for hand in self.hands))
    @rule(data=st.data())
    def speak_of_the_past(self, data: st.DataObject) -> None:
        hand = pick(data, [hand for hand in self.hands if hand.old])
        job = pick(data, hand.old)
        self.say(hand, job, self.finished(job.job_id), RunSucceeded())
        self.do(self.dispatcher.heard(hand.worker, Heartbeat(job.job_id, job.token)))

    def finished(self, name: str) -> NodeFinished:
        staged = self.outputs.stage(f"picture of {name}".encode(), ".png")
        return NodeFinished("1", "A", "1", False, {"images": [{"staged": staged, "prefix": name, "type": "output"}]})

    def say(self, hand: Hand, job: Job, *events: Any) -> None:
        for event in events:
            said = encode_event(job.job_id, job.token, event)
            assert isinstance(said, str)
            self.do(self.dispatcher.heard(hand.worker, decode(said)))

    def leave_with(self, hand: Hand) -> None:
        self.hands.remove(hand)
        self.do(self.dispatcher.left(hand.worker))
        self.lost(hand)
        self.pump()

    def lost(self, hand: Hand) -> None:
        """A job that is queued again takes its old place, and the order of the others stays."""
        if hand.job is None:
            return
        name = hand.job.job_id
        self.model.lose(name)
        if self.model.state[name] == "queued":
            order = [job.id for job in self.do(self.database.read(job_queries.queued))]
            assert [other for other in order if other != name] == self.model.queue
            if name not in order:  # an idle worker has it already, so nothing was before it
                assert any((told := hand.channel.jobs()) and told[-1].job_id == name for hand in self.hands)
                order.insert(0, name)
            self.model.queue = order

    # ------------------------------------------------------------ the server

    @rule()
    def restart(self) -> None:
        self.do(self.die())
        for hand in self.hands:
            if hand.job is not None:
                self.model.lose(hand.job.job_id)
        self.hands.clear()
        self.do(self.open())
        self.model.queue = [job.id for job in self.do(self.database.read(job_queries.queued))]
        waiting = [name for name, state in self.model.state.items() if state == "queued"]
        assert sorted(self.model.queue) == sorted(waiting)

    def pump(self) -> None:
        """Let the server give out what it can, and the model too: the first to whoever asks."""
        self.do(self.dispatcher._pump())
        for hand in self.hands:
            if hand.job is None and (told := hand.channel.jobs()) and told[-1] not in hand.old:
                hand.job = told[-1]
                name = hand.job.job_id
                assert not self.model.paused
                assert name == self.model.queue[0], (name, self.model.queue)
                self.model.queue.pop(0)
                self.model.state[name] = "running"

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "database"):
            return
        rows, queued, told = self.do(self.database.read(self.look))
        assert rows == self.model.state
        assert queued == self.model.queue
        assert told == (len(queued) + sum(state == "running" for state in rows.values()), self.model.paused)
        folder = self.base / "output"
        published = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
        assert published == sorted(f"{name}_00001_.png" for name in self.model.pictures)

    @staticmethod
    def look(connection: Any) -> tuple[dict[str, str], list[str], tuple[int, bool]]:
        rows = {row["id"]: row["state"] for row in connection.execute("SELECT id, state FROM jobs")}
        state = queue_order.state(connection)
        return rows, [job.id for job in job_queries.queued(connection)], (state.remaining, state.paused)


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

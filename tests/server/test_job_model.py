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
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.engine.events import NodeFinished, NodeStarted, RunFailed, RunInterrupted, RunSucceeded
from app.errors import Conflict
from app.link.messages import (
    Cancel,
    Done,
    Heartbeat,
    Hello,
    Job,
    Message,
    Ready,
    Return,
    Returned,
    decode,
    encode_event,
)
from app.server.dispatch import Dispatcher, Worker
from app.server.event_log import EventLog
from app.server.handouts import Handouts
from app.server.publisher import Publisher
from app.server.queue_news import QueueNews
from app.server.runs import RunServices
from app.store import job_queries, jobs, queue_order
from app.store.database import Database
from app.store.job_records import Submission
from app.store.outputs import OutputFolders
from app.store.published import DatabaseIndex
from app.store.queue_order import QueueState
from tests.server.scene import Channel, Heard, Processes

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
        counts = counts and self.state[name] == "running"  # what was not begun is not to blame
        self.losses[name] += counts
        if name in self.wanted_gone:
            self.state[name] = "cancelled"
        elif self.losses[name] >= jobs.MOST_LOSSES:
            self.state[name] = "failed"
        else:
            self.state[name] = "queued"


@dataclass
class Hand(Channel):
    """A worker of the test: what it was told, the jobs it believes to hold, and those it had once.

    It works on the first. A busy one does not hear that it ought to give the others back.
    """

    dispatcher: Dispatcher | None = None
    worker: Worker | None = None
    busy: bool = False
    held: list[Job] = field(default_factory=list[Job])
    old: list[Job] = field(default_factory=list[Job])
    story: list[tuple[str, Hand, Job]] = field(default_factory=list["tuple[str, Hand, Job]"])
    answers: list[asyncio.Task[None]] = field(default_factory=list["asyncio.Task[None]"])

    async def send(self, *messages: Message) -> None:
        before = len(self.told)
        await super().send(*messages)
        for said in self.told[before:]:
            if isinstance(said, Job):
                self.held.append(said)
                self.story.append(("given", self, said))
            ahead = {(job.job_id, job.token): job for job in self.held[1:]}
            if isinstance(said, Cancel | Return) and (said.job_id, said.token) in ahead and not self.busy:
                job = ahead[said.job_id, said.token]
                self.held.remove(job)
                self.story.append(("returned", self, job))
                self.answers.append(asyncio.create_task(self.say(Returned(said.job_id, said.token))))

    async def say(self, message: Message) -> None:
        assert self.dispatcher and self.worker
        await self.dispatcher.heard(self.worker, message)

    @property
    def job(self) -> Job | None:
        return self.held[0] if self.held else None


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
        self.story: list[tuple[str, Hand, Job]] = []
        self.ids = 0

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        if self.hands:  # only those that are busy are not waited for, however slow the machine is at the moment
            busy = any(hand.busy and len(hand.held) > 1 for hand in self.hands)
            self.dispatcher.handouts.return_seconds = 0.03 if busy else 60.0
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        self.do(self.open())
        self.submit("back", 6)
        self.join(2, False)

    async def open(self) -> None:
        self.database = Database(self.base / "x.sqlite")
        self.hub = Heard()
        self.outputs = OutputFolders(self.base / "output", self.base / "temp", DatabaseIndex(self.database))
        self.publisher = Publisher(self.outputs)
        services = RunServices(self.database, self.publisher, self.hub, EventLog(self.database), QueueNews(self.hub))
        self.dispatcher = Dispatcher(services, 30.0, 60.0, Processes(), handouts=Handouts(60.0, 60.0))
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

    @rule(place=st.sampled_from(["back", "front", "same key", "same key, other body"]), count=st.integers(1, 4))
    def submit(self, place: str, count: int) -> None:
        if place in ("back", "front") or not self.ids:
            for _ in range(count):
                self.ids += 1
                name = f"j{self.ids}"
                self.do(self.send(name, "d", front=place == "front"))
                self.model.state[name], self.model.losses[name] = "queued", 0
                self.model.queue.insert(0 if place == "front" else len(self.model.queue), name)
                self.settle()
        elif place == "same key":
            assert self.do(self.send(f"j{self.ids}", "d")).repeated
        else:
            with suppress(Conflict):
                self.do(self.send(f"j{self.ids}", "other"))
                raise AssertionError("another body under a used key was taken")
        self.settle()

    async def send(self, name: str, digest: str, *, front: bool = False) -> Any:
        submission = Submission(name, {"1": {"class_type": "A", "inputs": {}}}, ["1"], front=front)
        return await self.dispatcher.submit(submission, keys=[name], digest=digest, node_errors={})

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), which=st.sampled_from(["any", "queued", "running", "given"]))
    def cancel(self, data: st.DataObject, which: str) -> None:
        alike = [name for name, state in self.model.state.items() if state == which]
        name = pick(data, alike or list(self.model.state))
        before = self.model.state[name]
        assert self.do(self.dispatcher.cancel(name)) == (before not in ENDED)
        if before == "queued":
            self.model.state[name] = "cancelled"
            self.model.queue.remove(name)
        elif before == "running":
            self.model.wanted_gone.add(name)
            (token,) = (job.token for hand in self.hands for job in hand.held if job.job_id == name)
            assert any(hand.told and hand.told[-1] == Cancel(name, token) for hand in self.hands)
        elif before == "given":
            self.model.wanted_gone.add(name)
        self.settle()

    @rule(held=st.booleans())
    def pause(self, held: bool) -> None:
        self.all_come_back(self.dispatcher.pause(held))
        self.model.paused = held
        self.settle()

    @precondition(lambda self: len(self.model.queue) > 1)
    @rule(data=st.data(), after=st.booleans())
    def move(self, data: st.DataObject, after: bool) -> None:
        name, other = data.draw(st.permutations(self.model.queue))[:2]
        assert self.all_come_back(
            self.dispatcher.change_order(lambda c: queue_order.move_beside(c, name, other, after=after))
        )
        self.model.queue.remove(name)
        self.model.queue.insert(self.model.queue.index(other) + after, name)
        self.settle()

    @rule()
    def clear(self) -> None:
        given = [job.job_id for hand in self.hands for job in hand.held[1:]]
        wanted = [name for name in given if name not in self.model.wanted_gone]
        removed = self.all_come_back(self.dispatcher.remove_queued(None))
        assert len(self.model.queue) + len(wanted) <= removed <= len(self.model.queue) + len(given)
        self.model.state.update(dict.fromkeys(self.model.queue, "cancelled"))
        self.model.queue.clear()
        self.model.wanted_gone.update(given)
        self.settle()

    def all_come_back(self, change: Coroutine[Any, Any, Any]) -> Any:
        """A change of the order, before which workers that can hand back what they have not begun."""
        ahead = [(hand, job) for hand in self.hands for job in hand.held[1:] if not hand.busy]
        result = self.do(change)
        assert not any(job in hand.held for hand, job in ahead)
        return result

    # ------------------------------------------------------------ workers

    @precondition(lambda self: len(self.hands) < 3)
    @rule(ahead=st.integers(0, 2), busy=st.booleans())
    def join(self, ahead: int, busy: bool) -> None:
        hand = Hand(dispatcher=self.dispatcher, busy=busy, story=self.story)
        hand.worker = self.dispatcher.joined(hand, Hello(process_id=self.ids, ahead=ahead))
        hand.worker.quick = True  # as if it had a quick job behind it
        self.hands.append(hand)
        self.do(hand.say(Ready()))
        self.settle()

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
        hand.held.remove(job)
        hand.old.append(job)
        self.do(hand.say(Done(name, job.token)))
        if end == "nothing":  # its work is over, and it never said how the job ended
            self.lost(name)
        if hand.job is not None:
            self.model.state[hand.job.job_id] = "running"
        self.do(hand.say(Ready()))
        self.settle()

    @precondition(lambda self: any(hand.old for hand in self.hands))
    @rule(data=st.data())
    def speak_of_the_past(self, data: st.DataObject) -> None:
        hand = pick(data, [hand for hand in self.hands if hand.old])
        job = pick(data, hand.old)
        self.say(hand, job, self.finished(job.job_id), RunSucceeded())
        self.do(hand.say(Heartbeat(job.job_id, job.token)))

    def finished(self, name: str) -> NodeFinished:
        staged = self.outputs.stage(f"picture of {name}".encode(), ".png")
        return NodeFinished("1", "A", "1", False, {"images": [{"staged": staged, "prefix": name, "type": "output"}]})

    def say(self, hand: Hand, job: Job, *events: Any) -> None:
        for event in events:
            said = encode_event(job.job_id, job.token, event)
            assert isinstance(said, str)
            self.do(hand.say(decode(said)))

    def leave_with(self, hand: Hand) -> None:
        assert hand.worker
        self.hands.remove(hand)
        self.do(self.dispatcher.left(hand.worker))
        for job in hand.held:
            self.lost(job.job_id)
        self.settle()

    def lost(self, name: str) -> None:
        self.model.lose(name)
        if self.model.state[name] == "queued":
            self.model.queue = self.in_order([*self.model.queue, name])

    def in_order(self, names: Sequence[str]) -> list[str]:
        """In the order of the queue: one that comes back takes its old place, and the order of the others stays."""
        query = f"SELECT id FROM jobs ORDER BY {queue_order.ORDER}"
        order = [
            name for (name,) in self.do(self.database.read(lambda connection: connection.execute(query).fetchall()))
        ]
        found = [name for name in order if name in names]
        assert [name for name in found if name in self.model.queue] == self.model.queue
        return found

    # ------------------------------------------------------------ the server

    @rule()
    def restart(self) -> None:
        self.do(self.die())
        held = [job.job_id for hand in self.hands for job in hand.held]
        self.hands.clear()
        self.do(self.open())
        for name in held:
            self.lost(name)

    def settle(self) -> None:
        """Let the server give out and take back what it can, and the model too."""
        self.do(self.rest())
        for what, told in groupby(self.story, key=lambda event: event[0]):
            if what == "given":
                self.given([(hand, job) for _, hand, job in told])
            else:
                for _, _, job in told:
                    self.lost(job.job_id)
        self.story.clear()

    def given(self, told: Sequence[tuple[Hand, Job]]) -> None:
        names = [job.job_id for _, job in told]
        assert set(names) == set(self.model.queue[: len(names)]), "who is given out is not who is next"
        assert not self.model.paused
        self.model.queue = self.model.queue[len(names) :]
        for hand, job in told:
            self.model.state[job.job_id] = "running" if job is hand.job else "given"

    async def rest(self) -> None:
        for _ in range(3):
            await self.database.write(lambda connection: None)  # answered after all that was asked before
            await asyncio.gather(*(answer for hand in self.hands for answer in hand.answers))
            while self.dispatcher._pumping or self.dispatcher._endings or self.dispatcher._lock.locked():
                await asyncio.sleep(0)

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "database"):
            return
        rows, losses, queued, told = self.do(self.database.read(self.look))
        assert (rows, losses) == (self.model.state, self.model.losses)
        given = [name for name, state in self.model.state.items() if state == "given"]
        assert (sorted(queued[: len(given)]), queued[len(given) :]) == (sorted(given), self.model.queue)
        counted = QueueState(len(queued) + sum(state == "running" for state in rows.values()), self.model.paused)
        news = self.dispatcher.news
        assert told == counted == QueueState(news.remaining, news.paused)
        folder = self.base / "output"
        published = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
        assert published == sorted(f"{name}_00001_.png" for name in self.model.pictures)

    @staticmethod
    def look(connection: Any) -> tuple[dict[str, str], dict[str, int], list[str], QueueState]:
        state = "CASE WHEN state = 'running' AND started IS NULL THEN 'given' ELSE state END AS state"
        rows = connection.execute(f"SELECT id, {state}, losses FROM jobs").fetchall()
        states, losses = ({row["id"]: row[name] for row in rows} for name in ("state", "losses"))
        return states, losses, [job.id for job in job_queries.queued(connection)], queue_order.state(connection)


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

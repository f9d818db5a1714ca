"""The life of a job, against a small model of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.errors import Conflict
from app.store import job_queries, jobs, queue_order
from app.store.database import open_connection
from app.store.job_queries import Retention
from app.store.job_records import JobRecord, Outcome, Submission


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    made = open_connection(":memory:")
    yield made
    made.close()


def submit(connection: sqlite3.Connection, name: str, digest: str = "d", key: str | None = None, **more: Any) -> Any:
    submission = Submission(name, {"1": {"class_type": "A", "inputs": {}}}, ["1"], **more)
    return jobs.submit(connection, submission, keys=(key or name,), digest=digest, node_errors={}, now=1.0)


def claim(connection: sqlite3.Connection, now: float = 2.0) -> JobRecord:
    record = jobs.claim(connection, "w", lease_until=now + 30, now=now)
    assert record is not None
    return record


def test_the_same_key_is_the_same_job(connection: sqlite3.Connection) -> None:
    first = submit(connection, "a", key="k")
    again = submit(connection, "b", key="k")
    assert (first.repeated, again.repeated) == (False, True)
    assert again.answer == first.answer
    with pytest.raises(Conflict):
        submit(connection, "c", key="k", digest="other")
    assert [job.id for job in job_queries.queued(connection)] == ["a"]


def test_lower_numbers_run_first_and_equal_ones_in_order(connection: sqlite3.Connection) -> None:
    chosen: dict[str, dict[str, Any]] = {
        "a": {},
        "b": {},
        "c": {"front": True},
        "d": {"number": 0.0},
        "e": {"number": -9.0},
    }
    for name, more in chosen.items():
        submit(connection, name, **more)
    assert [claim(connection).id for _ in range(5)] == ["e", "c", "a", "d", "b"]
    assert jobs.claim(connection, "w", lease_until=1, now=1) is None


def test_words_under_an_old_token_change_nothing(connection: sqlite3.Connection) -> None:
    submit(connection, "a")
    old = claim(connection)
    assert jobs.lose(connection, "a", old.token) == ("queued", 1)
    new = claim(connection)
    assert new.token == old.token + 1
    assert not jobs.finish(connection, "a", old.token, Outcome("succeeded"), 3.0)
    assert not jobs.renew(connection, "a", old.token, 99.0)
    assert jobs.lose(connection, "a", old.token) == ("stale", 0)
    assert jobs.finish(connection, "a", new.token, Outcome("succeeded", {"1": {"images": []}}), 3.0)
    assert not jobs.finish(connection, "a", new.token, Outcome("failed"), 4.0)
    found = job_queries.get(connection, "a")
    assert found is not None
    assert (found.state, found.results, found.finished) == ("succeeded", {"1": {"images": []}}, 3.0)


def test_three_losses_are_enough(connection: sqlite3.Connection) -> None:
    submit(connection, "a")
    outcomes = [jobs.lose(connection, "a", claim(connection).token) for _ in range(3)]
    assert outcomes == [("queued", 1), ("queued", 2), ("poisoned", 3)]


def test_a_loss_that_is_nobodys_fault_is_not_counted(connection: sqlite3.Connection) -> None:
    submit(connection, "a")
    for _ in range(5):
        assert jobs.lose(connection, "a", claim(connection).token, counts=False) == ("queued", 0)


def test_leases(connection: sqlite3.Connection) -> None:
    submit(connection, "a")
    record = claim(connection, now=10.0)
    assert jobs.expired(connection, 39.0) == []
    assert jobs.expired(connection, 41.0) == [("a", record.token)]
    assert jobs.renew(connection, "a", record.token, 60.0)
    assert jobs.expired(connection, 41.0) == []


def test_cancelling(connection: sqlite3.Connection) -> None:
    for name in ("a", "b"):
        submit(connection, name)
    running = claim(connection)
    assert jobs.request_cancel(connection, "b", 5.0) == ("queued", 0)
    assert jobs.request_cancel(connection, "b", 5.0) is None
    assert jobs.request_cancel(connection, "a", 5.0) == ("running", running.token)
    assert jobs.request_cancel(connection, "absent", 5.0) is None
    assert jobs.lose(connection, "a", running.token) == ("cancelled", 1)
    assert job_queries.history(connection) == []  # what never began is no history


def test_a_later_server_takes_what_ran_for_lost(connection: sqlite3.Connection) -> None:
    for name in ("a", "b", "c"):
        submit(connection, name)
    claim(connection)
    claim(connection)
    jobs.request_cancel(connection, "b", 1.0)
    assert [(record.id, loss, losses) for record, loss, losses in jobs.recover(connection, 2.0)] == [
        ("a", "queued", 1),
        ("b", "cancelled", 1),
    ]
    assert [job.id for job in job_queries.queued(connection)] == ["a", "c"]


def test_moving_and_clearing(connection: sqlite3.Connection) -> None:
    for name in ("a", "b", "c"):
        submit(connection, name)
    assert queue_order.renumber(connection, "c", -1)
    assert not queue_order.renumber(connection, "absent", -1)
    assert claim(connection).id == "c"
    assert jobs.cancel_queued(connection, ["a", "c", "absent"], 1.0) == 1
    assert jobs.cancel_queued(connection, None, 1.0) == 1
    assert queue_order.state(connection).remaining == 1


def finished(connection: sqlite3.Connection, name: str, at: float, state: Any = "succeeded", **more: Any) -> None:
    submit(connection, name, **more)
    record = claim(connection, at - 1)
    messages = [["execution_start", {}]]
    assert jobs.finish(connection, name, record.token, Outcome(state, {}, {}, messages), at)


def test_history_is_oldest_first(connection: sqlite3.Connection) -> None:
    for at, name in enumerate("abcde"):
        finished(connection, name, 10.0 + at)
    submit(connection, "waiting")

    def names(*arguments: Any) -> str:
        return "".join(job.id for job in job_queries.history(connection, *arguments))

    assert names() == "abcde"
    assert names(2) == "de"
    assert names(2, 1) == "bc"
    assert names(None, 3) == "de"
    assert names(0) == ""
    assert names(-5) == ""
    assert job_queries.finished(connection, "waiting") is None
    found = job_queries.finished(connection, "c")
    assert found is not None
    assert found.messages == (["execution_start", {}],)
    job_queries.forget(connection, ["a", "waiting", "absent"])
    assert names() == "bcde"
    job_queries.prune(connection, Retention(jobs=2), now=1e9)
    assert names() == "de"
    job_queries.forget(connection, None)
    assert names() == ""
    assert queue_order.state(connection).remaining == 1


def test_listing(connection: sqlite3.Connection) -> None:
    document = {"extra_pnginfo": {"workflow": {"id": "doc"}}}
    finished(connection, "a", 20.0, extra_data=document)
    finished(connection, "b", 30.0, "failed")
    submit(connection, "c")

    def names(**wanted: Any) -> tuple[str, int]:
        found, total = job_queries.listing(connection, job_queries.JobFilter(**wanted))
        return "".join(job.id for job in found), total

    assert names() == ("cba", 3)
    assert names(descending=False) == ("abc", 3)
    assert names(states=["queued", "failed"]) == ("cb", 2)
    assert names(workflow_id="doc") == ("a", 1)
    assert names(limit=1, offset=1) == ("b", 3)
    assert names(sort="duration")[1] == 3


class Life(RuleBasedStateMachine):
    """Random submits, claims, losses, cancels and ends, beside a dictionary that says how it ought to be."""

    def __init__(self) -> None:
        super().__init__()
        self.connection = open_connection(":memory:")
        self.states: dict[str, str] = {}
        self.losses: dict[str, int] = {}
        self.held: list[tuple[str, int]] = []
        self.old: list[tuple[str, int]] = []

    def teardown(self) -> None:
        self.connection.close()

    @rule(again=st.booleans())
    def submitted(self, again: bool) -> None:
        name = f"j{max(len(self.states) - again, 0)}"
        accepted = submit(self.connection, name)
        assert accepted.repeated == (name in self.states)
        if name not in self.states:
            self.states[name], self.losses[name] = "queued", 0

    @rule()
    def claimed(self) -> None:
        record = jobs.claim(self.connection, "w", lease_until=1, now=1)
        waiting = [name for name, state in self.states.items() if state == "queued"]
        assert (record is None) == (not waiting)
        if record is not None:
            assert record.id in waiting
            self.states[record.id] = "running"
            self.held.append((record.id, record.token))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), state=st.sampled_from(["succeeded", "failed", "cancelled"]))
    def ended(self, data: st.DataObject, state: Any) -> None:
        claim = data.draw(st.sampled_from(self.held))
        assert jobs.finish(self.connection, *claim, Outcome(state), 2.0)
        self.states[claim[0]] = state
        self.release(claim)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def lost(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.held))
        loss, losses = jobs.lose(self.connection, *claim)
        self.losses[claim[0]] += 1
        assert losses == self.losses[claim[0]]
        assert loss == ("poisoned" if losses >= jobs.MOST_LOSSES else "queued")
        if loss == "poisoned":
            assert jobs.finish(self.connection, *claim, Outcome("failed"), 2.0)
        self.states[claim[0]] = "failed" if loss == "poisoned" else "queued"
        self.release(claim)

    @precondition(lambda self: self.old)
    @rule(data=st.data())
    def spoke_too_late(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.old))
        assert not jobs.finish(self.connection, *claim, Outcome("succeeded"), 3.0)
        assert jobs.lose(self.connection, *claim)[0] == "stale"

    @rule()
    def cleared(self) -> None:
        jobs.cancel_queued(self.connection, None, 1.0)
        self.states.update({name: "cancelled" for name, state in self.states.items() if state == "queued"})

    @invariant()
    def agrees(self) -> None:
        rows = self.connection.execute("SELECT id, state FROM jobs")
        assert {row["id"]: row["state"] for row in rows} == self.states

    def release(self, claim: tuple[str, int]) -> None:
        self.held.remove(claim)
        self.old.append(claim)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


def test_history_is_kept_as_long_and_as_much_as_it_should_be(connection: sqlite3.Connection) -> None:
    for name, at in (("a", 100.0), ("b", 200.0), ("c", 300.0)):
        submit(connection, name)
        record = claim(connection, at - 1)
        jobs.finish(connection, name, record.token, Outcome("succeeded"), at)
    submit(connection, "cancelled")
    jobs.request_cancel(connection, "cancelled", 150.0)
    submit(connection, "runs")
    claim(connection, 1.0)
    submit(connection, "waits")

    def left() -> set[str]:
        return {row["id"] for row in connection.execute("SELECT id FROM jobs")}

    job_queries.prune(connection, Retention(seconds=60.0), now=259.0)
    assert left() == {"b", "c", "runs", "waits"}
    job_queries.prune(connection, Retention(jobs=1), now=259.0)
    assert left() == {"c", "runs", "waits"}


def test_jobs_given_ahead_wait_until_they_are_begun_and_come_back_to_their_place(
    connection: sqlite3.Connection,
) -> None:
    for name in ("a", "b", "c", "d"):
        submit(connection, name)
    first = claim(connection)
    ahead = jobs.claim_ahead(connection, "w", 2, lease_until=9.0)
    assert [(record.id, record.token, record.state) for record in ahead] == [("b", 1, "queued"), ("c", 1, "queued")]
    assert [job.id for job in job_queries.queued(connection)] == ["b", "c", "d"]
    assert [job.id for job in job_queries.running(connection)] == [first.id]
    assert jobs.begin(connection, "b", 1, 5.0)
    assert [job.id for job in job_queries.running(connection)] == ["a", "b"]
    assert not jobs.give_back(connection, "c", 1, 6.0)
    assert not jobs.begin(connection, "c", 1, 6.0)  # the claim is over
    assert (claim(connection).id, claim(connection).id) == ("c", "d")
    jobs.request_cancel(connection, "d", 7.0)
    assert jobs.give_back(connection, "d", 1, 8.0)
    found = job_queries.get(connection, "d")
    assert found is not None
    assert (found.state, found.finished) == ("cancelled", 8.0)
    assert not jobs.give_back(connection, "d", 1, 9.0)


def test_losing_one_that_was_not_begun_is_nobodys_fault(connection: sqlite3.Connection) -> None:
    submit(connection, "a")
    jobs.claim_ahead(connection, "w", 1, lease_until=9.0)
    assert jobs.lose(connection, "a", 1) == ("queued", 0)


def test_an_id_is_used_once_even_without_a_key(connection: sqlite3.Connection) -> None:
    job = Submission("a", {}, [])
    jobs.submit(connection, job, keys=(), digest="", node_errors={}, now=1.0)
    with pytest.raises(Conflict):
        jobs.submit(connection, job, keys=(), digest="", node_errors={}, now=1.0)


def test_old_keys_are_forgotten(connection: sqlite3.Connection) -> None:
    submit(connection, "a")
    jobs.prune_keys(connection, 1e6)
    assert jobs.earlier_answer(connection, ["a"], "d") is None

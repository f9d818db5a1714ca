"""The order of waiting jobs: moves against a plain list, pausing, urgency."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.store import job_queries, jobs, queue_order
from app.store.database import open_connection
from app.store.job_records import Submission


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    made = open_connection(":memory:")
    yield made
    made.close()


def submit(connection: sqlite3.Connection, *names: str, number: float | None = None, front: bool = False) -> None:
    for name in names:
        submission = Submission(name, {}, [], number=number, front=front)
        jobs.submit(connection, submission, keys=(name,), digest="d", node_errors={}, now=1.0)


def order(connection: sqlite3.Connection) -> list[str]:
    return [job.id for job in job_queries.queued(connection)]


Moves = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["front", "back", *"abcdef"]), st.booleans()))


@given(st.lists(st.sampled_from([None, 0.0, 1.0, 1e14, -5.0]), min_size=6, max_size=6), Moves)
def test_moves_do_to_the_queue_what_they_do_to_a_list(numbers: list[float | None], moves: list[tuple[str, str, bool]]):
    connection = open_connection(":memory:")
    for name, number in zip("abcdef", numbers, strict=True):
        submit(connection, name, number=number)
    model = order(connection)
    for name, where, after in moves:
        if where in ("front", "back"):
            assert queue_order.move_to(connection, name, "front" if where == "front" else "back")
            model.remove(name)
            model.insert(0 if where == "front" else len(model), name)
        elif where != name:
            assert queue_order.move_beside(connection, name, where, after=after)
            model.remove(name)
            model.insert(model.index(where) + after, name)
        assert order(connection) == model
    connection.close()


def test_what_comes_later_stays_later_and_front_means_front(connection: sqlite3.Connection) -> None:
    submit(connection, "a", "b", "c")
    for _ in range(5):
        queue_order.move_to(connection, "a", "back")
        queue_order.move_to(connection, "c", "front")
    submit(connection, "d")
    submit(connection, "e", front=True)
    assert order(connection) == ["e", "c", "b", "a", "d"]


def test_numbers_between_two_run_out_and_are_made_anew(connection: sqlite3.Connection) -> None:
    submit(connection, "a", "b", "c")
    for _ in range(70):
        assert queue_order.move_beside(connection, "c", "b", after=False)
        assert queue_order.move_beside(connection, "b", "c", after=False)
        assert order(connection) == ["a", "b", "c"]
    submit(connection, "d")
    assert order(connection) == ["a", "b", "c", "d"]


def test_urgency_goes_before_numbers(connection: sqlite3.Connection) -> None:
    submit(connection, "a", "b", "c", "d")
    assert queue_order.urge(connection, "c", 5)
    assert queue_order.urge(connection, "b", -5)
    assert order(connection) == ["c", "a", "d", "b"]
    assert queue_order.move_beside(connection, "d", "b", after=True)
    assert order(connection) == ["c", "a", "b", "d"]
    assert queue_order.move_beside(connection, "a", "b", after=False)
    assert order(connection) == ["c", "a", "b", "d"]
    submit(connection, "e")
    assert order(connection) == ["c", "a", "e", "b", "d"]
    assert not queue_order.urge(connection, "absent", 1)


def test_only_waiting_jobs_move(connection: sqlite3.Connection) -> None:
    submit(connection, "a", "b")
    assert jobs.claim(connection, "w", lease_until=9.0, now=1.0)
    assert not queue_order.move_to(connection, "a", "back")
    assert not queue_order.move_beside(connection, "b", "a", after=True)
    assert not queue_order.move_beside(connection, "b", "b", after=True)
    assert not queue_order.move_to(connection, "absent", "front")
    assert not queue_order.urge(connection, "a", 3)
    assert not queue_order.renumber(connection, "a", 3)


def test_a_paused_queue_gives_nothing_out(connection: sqlite3.Connection) -> None:
    submit(connection, "a")
    assert queue_order.pause(connection, True)
    assert not queue_order.pause(connection, True)
    assert queue_order.state(connection) == queue_order.QueueState(1, True)
    assert jobs.claim(connection, "w", lease_until=9.0, now=1.0) is None
    assert queue_order.pause(connection, False)
    claimed = jobs.claim(connection, "w", lease_until=9.0, now=1.0)
    assert claimed is not None
    assert queue_order.state(connection) == queue_order.QueueState(1, False)


def test_the_next_job_is_found_without_reading_the_others(connection: sqlite3.Connection) -> None:
    plan = connection.execute(
        f"EXPLAIN QUERY PLAN SELECT position FROM jobs WHERE state = 'queued' ORDER BY {queue_order.ORDER} LIMIT 1"
    ).fetchall()
    told = " ".join(row["detail"] for row in plan)
    assert "jobs_queued" in told
    assert "TEMP B-TREE" not in told

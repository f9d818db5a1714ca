"""Stored messages: numbered, replayed from any point, forgotten in time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from app.store import events, job_queries, jobs
from app.store.database import open_connection
from app.store.events import Scope, StoredEvent
from app.store.job_records import Submission
from app.store.schema import upgrade


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    made = open_connection(":memory:")
    for name in ("a", "b"):
        submission = Submission(name, {}, [], client_id="me" if name == "b" else None)
        jobs.submit(made, submission, keys=(name,), digest="d", node_errors={}, now=1.0)
    yield made
    made.close()


A, B, ALL = Scope(job_id="a"), Scope(job_id="b"), Scope()


def said(*numbers: int, job_id: str = "a") -> list[StoredEvent]:
    return [StoredEvent(number, job_id, "executed", f'{{"n":{number}}}') for number in numbers]


def test_since(connection: sqlite3.Connection) -> None:
    events.append(connection, [*said(1, 2, 4), *said(3, job_id="b")], 10.0)
    assert events.since(connection, A, 1) == said(2, 4)
    assert events.since(connection, A, 0, limit=2) == said(1, 2)
    assert events.since(connection, A, 4) == []
    assert [event.seq for event in events.since(connection, ALL, 1)] == [2, 3, 4]
    assert events.since(connection, Scope(client_id="me"), 0) == said(3, job_id="b")
    assert events.since(connection, Scope(client_id="you"), 0) == []
    assert said(1)[0].to_json() == {"seq": 1, "type": "executed", "data": {"n": 1}}


def test_a_number_is_used_once_and_unknown_jobs_have_no_events(connection: sqlite3.Connection) -> None:
    events.append(connection, said(1), 10.0)
    events.append(connection, [StoredEvent(1, "a", "other", "{}")], 10.0)
    events.append(connection, said(2, job_id="absent"), 10.0)
    assert events.since(connection, ALL, 0) == said(1)


def test_no_two_servers_use_the_same_number(connection: sqlite3.Connection) -> None:
    first = events.reserve(connection)
    events.append(connection, said(first + 1), 10.0)
    second = events.reserve(connection)
    assert second > first + 10**9
    assert second < 2**53


def test_forgetting(connection: sqlite3.Connection) -> None:
    events.append(connection, said(1), 10.0)
    events.append(connection, said(2), 100.0)
    assert events.prune(connection, 120.0, seconds=50.0) == 1
    assert events.since(connection, A, 0) == said(2)
    jobs.cancel_queued(connection, None, 1.0)
    job_queries.forget(connection, None)
    assert events.since(connection, ALL, 0) == []


def test_the_events_of_an_older_database_are_kept() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    upgrade(connection, to=2)
    connection.execute(
        "INSERT INTO jobs (id, number, state, prompt, outputs, extra_data, created)"
        " VALUES ('a', 0, 'queued', '{}', '[]', '{}', 1.0), ('b', 1, 'queued', '{}', '[]', '{}', 1.0)"
    )
    rows = [("a", 1, 1.0), ("a", 2, 3.0), ("b", 1, 2.0)]
    connection.executemany("INSERT INTO events (job_id, seq, type, data, at) VALUES (?, ?, 'x', '{}', ?)", rows)
    upgrade(connection)
    assert [(event.seq, event.job_id) for event in events.since(connection, ALL, 0)] == [(1, "a"), (2, "b"), (3, "a")]
    assert events.reserve(connection) == 3
    connection.close()

"""Stored messages: numbered, replayed from any point, forgotten in time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from app.store import events, job_queries, jobs
from app.store.database import open_connection
from app.store.events import StoredEvent
from app.store.job_records import Submission


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    made = open_connection(":memory:")
    for name in ("a", "b"):
        jobs.submit(made, Submission(name, {}, []), keys=(name,), digest="d", node_errors={}, now=1.0)
    yield made
    made.close()


def said(*numbers: int) -> list[StoredEvent]:
    return [StoredEvent(number, "executed", {"n": number}) for number in numbers]


def test_since(connection: sqlite3.Connection) -> None:
    events.append(connection, "a", said(1, 2, 3), 10.0)
    events.append(connection, "b", said(1), 10.0)
    assert events.since(connection, "a", 1) == said(2, 3)
    assert events.since(connection, "a", 0, limit=2) == said(1, 2)
    assert events.since(connection, "a", 3) == []
    assert (events.last_number(connection, "a"), events.last_number(connection, "c")) == (3, 0)
    assert said(1)[0].to_json() == {"seq": 1, "type": "executed", "data": {"n": 1}}


def test_a_number_is_used_once_and_unknown_jobs_have_no_events(connection: sqlite3.Connection) -> None:
    events.append(connection, "a", said(1), 10.0)
    events.append(connection, "a", [StoredEvent(1, "other", {})], 10.0)
    events.append(connection, "absent", said(1), 10.0)
    assert events.since(connection, "a", 0) == said(1)
    assert events.since(connection, "absent", 0) == []


def test_forgetting(connection: sqlite3.Connection) -> None:
    events.append(connection, "a", said(1), 10.0)
    events.append(connection, "a", said(2), 100.0)
    assert events.prune(connection, 120.0, seconds=50.0) == 1
    assert events.since(connection, "a", 0) == said(2)
    jobs.cancel_queued(connection, None, 1.0)
    job_queries.forget(connection, None)
    assert events.since(connection, "a", 0) == []

"""What can be asked about jobs: the queue, the history, the list; and forgetting ended ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from app.store.job_records import JobRecord, State, record_of
from app.store.queue_order import ORDER

Sort = Literal["created", "duration", "queue"]

_RAN = "started IS NOT NULL AND finished IS NOT NULL"
_LIGHT = (
    "id, urgency, number, state, '{}' AS prompt, outputs, '{}' AS extra_data, workflow_id, client_id, token, losses,"
    " cancel_requested, created, started, finished, results, meta, '[]' AS messages, error"
)


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a listing holds, in which order, and which part of it."""

    states: Sequence[State] = ()
    workflow_id: str | None = None
    sort: Sort = "created"
    descending: bool = True
    limit: int | None = None
    offset: int = 0


def get(connection: sqlite3.Connection, job_id: str) -> JobRecord | None:
    """The job of that id."""
    row = connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return None if row is None else record_of(row)


def queued(connection: sqlite3.Connection) -> list[JobRecord]:
    """The jobs that wait, in the order in which they will run: first those that workers were given ahead."""
    wait = ("state = 'running' AND started IS NULL", "state = 'queued'")
    found = (connection.execute(f"SELECT * FROM jobs WHERE {condition} ORDER BY {ORDER}") for condition in wait)
    return [record_of(row) for rows in found for row in rows]


def running(connection: sqlite3.Connection) -> list[JobRecord]:
    """The jobs that run, the longest running first."""
    begun = "SELECT * FROM jobs WHERE state = 'running' AND started IS NOT NULL ORDER BY started"
    return [record_of(row) for row in connection.execute(begun)]


def history(connection: sqlite3.Connection, max_items: int | None = None, offset: int = -1) -> list[JobRecord]:
    """Ended jobs that had begun, oldest first.

    A negative `offset` with `max_items` takes the last ones; else `offset` are skipped from the oldest.
    """
    select = f"SELECT * FROM jobs WHERE {_RAN} ORDER BY finished"
    if max_items is not None and offset < 0:
        rows = connection.execute(f"{select} DESC, position DESC LIMIT ?", (max(max_items, 0),)).fetchall()[::-1]
    else:
        limit = -1 if max_items is None else max(max_items, 0)
        rows = connection.execute(f"{select}, position LIMIT ? OFFSET ?", (limit, max(offset, 0))).fetchall()
    return [record_of(row) for row in rows]


def finished(connection: sqlite3.Connection, job_id: str) -> JobRecord | None:
    """The job of that id if it is part of the history."""
    row = connection.execute(f"SELECT * FROM jobs WHERE id = ? AND {_RAN}", (job_id,)).fetchone()
    return None if row is None else record_of(row)


def listing(connection: sqlite3.Connection, wanted: JobFilter) -> tuple[list[JobRecord], int]:
    """A part of the jobs that `wanted` describes, without their prompts, and how many there are in all."""
    conditions: list[str] = ["1"]
    values: list[str] = []
    if wanted.states:
        conditions.append(f"state IN ({', '.join('?' * len(wanted.states))})")
        values += wanted.states
    if wanted.workflow_id is not None:
        conditions.append("workflow_id = ?")
        values.append(wanted.workflow_id)
    where = " AND ".join(conditions)
    (total,) = connection.execute(f"SELECT count(*) FROM jobs WHERE {where}", values).fetchone()
    rows = connection.execute(
        f"SELECT {_LIGHT} FROM jobs WHERE {where} ORDER BY {_order(wanted)} LIMIT ? OFFSET ?",
        (*values, -1 if wanted.limit is None else wanted.limit, wanted.offset),
    )
    return [record_of(row) for row in rows], total


def _order(wanted: JobFilter) -> str:
    if wanted.sort == "queue":
        # What runs, longest first; then what waits, the next one first; then what has ended, newest first.
        group = "CASE state WHEN 'running' THEN 0 WHEN 'queued' THEN 1 ELSE 2 END"
        return f"{group}, CASE state WHEN 'running' THEN started WHEN 'queued' THEN 0 ELSE -finished END, {ORDER}"
    key = "created" if wanted.sort == "created" else "coalesce(finished - started, 0)"
    direction = "DESC" if wanted.descending else "ASC"
    return f"{key} {direction}, position {direction}"


def forget(connection: sqlite3.Connection, job_ids: Iterable[str] | None) -> None:
    """Delete those of the jobs that have ended, all of them for None, with their events."""
    delete = "DELETE FROM jobs WHERE state NOT IN ('queued', 'running')"
    if job_ids is None:
        connection.execute(delete)
    else:
        connection.executemany(f"{delete} AND id = ?", [(job_id,) for job_id in job_ids])


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of the history is kept: so many jobs, and none that ended longer ago, if `seconds` says how long.

    What is over is deleted every `every_seconds`, and when a server starts.
    """

    jobs: int = 10_000
    seconds: float | None = None
    every_seconds: float = 600.0


def prune(connection: sqlite3.Connection, limits: Retention, now: float) -> None:
    """Delete the ended jobs that are beyond the limits, the oldest first. `now` is in seconds since 1970."""
    if limits.seconds is not None:
        connection.execute(
            "DELETE FROM jobs WHERE state NOT IN ('queued', 'running') AND coalesce(finished, created) < ?",
            (now - limits.seconds,),
        )
    connection.execute(
        "DELETE FROM jobs WHERE position IN (SELECT position FROM jobs WHERE state NOT IN ('queued', 'running')"
        " ORDER BY position DESC LIMIT -1 OFFSET ?)",
        (limits.jobs,),
    )

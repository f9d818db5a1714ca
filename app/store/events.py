"""Stored messages of jobs under growing numbers, so that who comes back can ask "since n", of one job or of all.

A number is given when a message is told, and stored a moment later. A server that dies in between must not give the
same number to another message, so each server takes its numbers from a block of its own (`reserve`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_LAST_SECONDS = 7 * 24 * 3600.0
_PRUNED = 10_000  # rows at once
_BLOCK = 1 << 32  # numbers of one server's life; JavaScript counts exactly up to two million such blocks
_APPEND = """
    INSERT OR IGNORE INTO events (seq, job_id, type, data, at)
    SELECT json_extract(value, '$[0]'), jobs.id, json_extract(value, '$[2]'), json_extract(value, '$[3]'), ?
    FROM json_each(?) JOIN jobs ON jobs.id = json_extract(value, '$[1]')
"""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One message of a job as clients got it. `text` is its data as JSON, written once for all who want it."""

    seq: int
    job_id: str
    type: str
    text: str

    @property
    def data(self) -> Mapping[str, Any]:
        """Its data."""
        return json.loads(self.text)

    def to_json(self) -> dict[str, Any]:
        """As the API tells it."""
        return {"seq": self.seq, "type": self.type, "data": self.data}


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose events: of one job, of the jobs that one client submitted, or of all."""

    job_id: str | None = None
    client_id: str | None = None


def reserve(connection: sqlite3.Connection) -> int:
    """The number after which a new server may number its events: nobody has used any of the next `_BLOCK`."""
    (last,) = connection.execute(
        "INSERT INTO counters (name, value) VALUES ('event', ?)"
        " ON CONFLICT (name) DO UPDATE SET value = value + ? RETURNING value",
        (_BLOCK, _BLOCK),
    ).fetchone()
    return last - _BLOCK


def append(connection: sqlite3.Connection, events: Iterable[StoredEvent], now: float) -> None:
    """Store events. A number that is there already is left as it is, and a job that is gone has no events."""
    rows = ",".join(
        f"[{event.seq},{json.dumps(event.job_id)},{json.dumps(event.type)},{event.text}]" for event in events
    )
    if rows:  # all in one statement: between two of them other threads take their turn
        connection.execute(_APPEND, (now, f"[{rows}]"))


def since(connection: sqlite3.Connection, scope: Scope, seq: int, limit: int = 1000) -> list[StoredEvent]:
    """Events after that number, in order."""
    conditions: list[str] = ["seq > ?"]
    values: list[int | str] = [seq]
    if scope.job_id is not None:
        conditions.append("job_id = ?")
        values.append(scope.job_id)
    if scope.client_id is not None:
        conditions.append("job_id IN (SELECT id FROM jobs WHERE client_id = ?)")
        values.append(scope.client_id)
    rows = connection.execute(
        f"SELECT seq, job_id, type, data FROM events WHERE {' AND '.join(conditions)} ORDER BY seq LIMIT ?",
        (*values, limit),
    )
    return [StoredEvent(row["seq"], row["job_id"], row["type"], row["data"]) for row in rows]


def prune(connection: sqlite3.Connection, now: float, seconds: float = _LAST_SECONDS) -> int:
    """Delete events older than that and say how many. What matters for good is in the job's own row.

    Later ones have higher numbers, so the first that is young enough ends the search.
    """
    deleted = 0
    while True:
        oldest = "SELECT seq, at FROM events ORDER BY seq LIMIT ?"
        done = connection.execute(
            f"DELETE FROM events WHERE seq IN (SELECT seq FROM ({oldest}) WHERE at < ?)", (_PRUNED, now - seconds)
        )
        deleted += done.rowcount
        if done.rowcount < _PRUNED:
            return deleted

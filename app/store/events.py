"""Stored messages of jobs, numbered from 1 within each job, so that who comes back can ask "since n"."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.store.job_records import to_text

_LAST_SECONDS = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One message as clients got it."""

    seq: int
    type: str
    data: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As the API tells it."""
        return {"seq": self.seq, "type": self.type, "data": self.data}


def append(connection: sqlite3.Connection, job_id: str, events: Iterable[StoredEvent], now: float) -> None:
    """Store events of a job. A number that is there already is left as it is."""
    connection.executemany(
        "INSERT OR IGNORE INTO events (job_id, seq, type, data, at) SELECT id, ?, ?, ?, ? FROM jobs WHERE id = ?",
        [(event.seq, event.type, to_text(event.data), now, job_id) for event in events],
    )


def since(connection: sqlite3.Connection, job_id: str, seq: int, limit: int = 1000) -> list[StoredEvent]:
    """Events of a job after that number, in order."""
    rows = connection.execute(
        "SELECT seq, type, data FROM events WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?", (job_id, seq, limit)
    )
    return [StoredEvent(row["seq"], row["type"], json.loads(row["data"])) for row in rows]


def last_number(connection: sqlite3.Connection, job_id: str) -> int:
    """The highest number of a job's events, 0 for none."""
    return connection.execute("SELECT coalesce(max(seq), 0) FROM events WHERE job_id = ?", (job_id,)).fetchone()[0]


def prune(connection: sqlite3.Connection, now: float, seconds: float = _LAST_SECONDS) -> int:
    """Delete events older than that and say how many. What matters for good is in the job's own row."""
    return connection.execute("DELETE FROM events WHERE at < ?", (now - seconds,)).rowcount

"""Who is next: the order of waiting jobs, and whether the queue gives any out.

Higher `urgency` runs first, then the lower `number`, then what came first. Moving a job gives it a number between its
new neighbours' and their urgency, so that no other job is written. All in the database: it outlives the server.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

ORDER = "urgency DESC, number, position"
MOST_URGENCY = 1000

Place = Literal["front", "back"]


@dataclass(frozen=True, slots=True)
class QueueState:
    """How many jobs wait or run, and whether the queue is held back."""

    remaining: int
    paused: bool


def state(connection: sqlite3.Connection) -> QueueState:
    """The queue as all clients are told of it."""
    (remaining,) = connection.execute(
        "SELECT (SELECT count(*) FROM jobs WHERE state = 'queued')"
        " + (SELECT count(*) FROM jobs WHERE state = 'running')"
    ).fetchone()
    return QueueState(remaining, paused(connection))


def paused(connection: sqlite3.Connection) -> bool:
    """Whether waiting jobs are held back."""
    row = connection.execute("SELECT value FROM counters WHERE name = 'paused'").fetchone()
    return row is not None and row["value"] == 1


def pause(connection: sqlite3.Connection, held: bool) -> bool:
    """Hold waiting jobs back, or let them go; says whether that is a change. What runs is not touched."""
    before = paused(connection)
    connection.execute("INSERT OR REPLACE INTO counters (name, value) VALUES ('paused', ?)", (int(held),))
    return before != held


def next_number(connection: sqlite3.Connection, *, front: bool = False) -> float:
    """A number for a job that comes after all submitted so far, or with `front` before all that wait."""
    (counted,) = connection.execute(
        "INSERT INTO counters (name, value) VALUES ('number', 1)"
        " ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value"
    ).fetchone()
    if not front:
        return counted - 1
    (lowest,) = connection.execute("SELECT min(number) FROM jobs WHERE state = 'queued'").fetchone()
    return 1 - counted if lowest is None else min(1 - counted, lowest - 1)


def move_to(connection: sqlite3.Connection, job_id: str, place: Place) -> bool:
    """Let a waiting job be the first or the last of all; False when it does not wait."""
    others = [name for name in _waiting(connection) if name != job_id]
    return _put(connection, job_id, others, 0 if place == "front" else len(others))


def move_beside(connection: sqlite3.Connection, job_id: str, neighbour: str, *, after: bool) -> bool:
    """Let a waiting job run right before or after another one; False unless both wait."""
    others = [name for name in _waiting(connection) if name != job_id]
    if neighbour not in others:
        return False
    return _put(connection, job_id, others, others.index(neighbour) + after)


def renumber(connection: sqlite3.Connection, job_id: str, number: float) -> bool:
    """Give a waiting job a number of one's choice; False when it does not wait."""
    done = connection.execute("UPDATE jobs SET number = ? WHERE id = ? AND state = 'queued'", (number, job_id))
    return done.rowcount == 1


def urge(connection: sqlite3.Connection, job_id: str, urgency: int) -> bool:
    """Give a waiting job that urgency; False when it does not wait."""
    done = connection.execute("UPDATE jobs SET urgency = ? WHERE id = ? AND state = 'queued'", (urgency, job_id))
    return done.rowcount == 1


def _waiting(connection: sqlite3.Connection) -> list[str]:
    return [row["id"] for row in connection.execute(f"SELECT id FROM jobs WHERE state = 'queued' ORDER BY {ORDER}")]


def _put(connection: sqlite3.Connection, job_id: str, others: Sequence[str], index: int) -> bool:
    """Place a waiting job between `others[index - 1]` and `others[index]`."""
    own = _key(connection, job_id)
    if own is None:
        return False
    above = _key(connection, others[index - 1]) if index > 0 else None
    below = _key(connection, others[index]) if index < len(others) else None
    if below is None and above is not None:
        # A number of its own, so that what is submitted later still comes later.
        place = above[0], max(next_number(connection), above[1] + 1)
    else:
        place = _between(above, below, own)
    if place is None:
        _spread(connection, [*others[:index], job_id, *others[index:]], others[index])
    else:
        connection.execute("UPDATE jobs SET urgency = ?, number = ? WHERE id = ?", (*place, job_id))
    return True


def _key(connection: sqlite3.Connection, job_id: str) -> tuple[int, float] | None:
    row = connection.execute("SELECT urgency, number FROM jobs WHERE id = ? AND state = 'queued'", (job_id,)).fetchone()
    return None if row is None else (row["urgency"], row["number"])


def _between(
    above: tuple[int, float] | None, below: tuple[int, float] | None, own: tuple[int, float]
) -> tuple[int, float] | None:
    """(urgency, number) of a job between two, its urgency as it is where it can be; None when no number is left."""
    if above is None or below is None:
        urgency, number = below or (0, 1.0)
        return urgency, number - 1
    if above[0] == below[0]:
        middle = (above[1] + below[1]) / 2
        return (above[0], middle) if above[1] < middle < below[1] else None
    if above[0] > own[0] > below[0]:
        return own
    return (below[0], below[1] - 1) if own[0] == below[0] else (above[0], above[1] + 1)


def _spread(connection: sqlite3.Connection, order: Sequence[str], neighbour: str) -> None:
    """Number those jobs that are as urgent as `neighbour` anew, a whole number apart, in this order. None gets a number
    above the highest there was, so that what is submitted later still comes later."""
    (urgency,) = connection.execute("SELECT urgency FROM jobs WHERE id = ?", (neighbour,)).fetchone()
    (highest,) = connection.execute(
        "SELECT max(number) FROM jobs WHERE state = 'queued' AND urgency = ?", (urgency,)
    ).fetchone()
    place = order.index(neighbour)
    # The job that is moved stands right before the neighbour, whatever its own urgency was.
    alike = [
        name
        for index, name in enumerate(order)
        if index == place - 1 or ((key := _key(connection, name)) is not None and key[0] == urgency)
    ]
    connection.executemany(
        "UPDATE jobs SET urgency = ?, number = ? WHERE id = ?",
        [(urgency, highest - (len(alike) - 1 - index), name) for index, name in enumerate(alike)],
    )

"""The life of a job: queued → running → succeeded, failed or cancelled.

Functions over a connection inside a transaction (`Database.write`). A job that runs is held under a token that grows
with every claim; words under an older token change nothing. Lease ends are in seconds of the server's monotonic
clock: they mean nothing to a later server, which takes every running job for lost (`recover`).
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.errors import Conflict
from app.store import queue_order
from app.store.job_records import JobRecord, Outcome, Submission, record_of, to_text
from app.store.queue_order import ORDER

MOST_LOSSES = 3
_KEYS_LAST_SECONDS = 48 * 3600.0

Loss = Literal["queued", "poisoned", "cancelled", "stale"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a submission. `repeated` when the key had been used for the same body before."""

    answer: Mapping[str, Any]
    repeated: bool


def earlier_answer(connection: sqlite3.Connection, keys: Iterable[str], digest: str) -> Mapping[str, Any] | None:
    """What was answered when one of `keys` came with this body; None if none was used yet.

    Raises:
        Conflict: a key was used with another body.
    """
    for key in keys:
        row = connection.execute("SELECT digest, answer FROM submissions WHERE key = ?", (key,)).fetchone()
        if row is None:
            continue
        if row["digest"] != digest:
            raise Conflict(
                f"{key[:80]} was used before for another request.", remedy="Use a new key or id for a new request."
            )
        return json.loads(row["answer"])
    return None


def submit(
    connection: sqlite3.Connection,
    submission: Submission,
    *,
    keys: Iterable[str],
    digest: str,
    node_errors: Mapping[str, Any],
    now: float,
) -> Accepted:
    """Queue a job, unless one of `keys` says that it was queued before.

    Args:
        connection: inside a transaction.
        submission: what to run.
        keys: names that the client gave the request (an idempotency key, the job's id), each for one body only.
        digest: of the request's body.
        node_errors: told in the answer.
        now: seconds since 1970.

    Raises:
        Conflict: a key was used with another body, or there is a job of that id.
    """
    keys = tuple(keys)
    earlier = earlier_answer(connection, keys, digest)
    if earlier is not None:
        return Accepted(earlier, repeated=True)
    number = submission.number
    if number is None:
        number = queue_order.next_number(connection, front=submission.front)
    _insert(connection, submission, number, now)
    sys.audit("loom.job.inserting", submission.id)
    answer = {"prompt_id": submission.id, "number": number, "node_errors": node_errors}
    if keys:
        connection.executemany(
            "INSERT INTO submissions (key, digest, answer, at) VALUES (?, ?, ?, ?)",
            [(key, digest, to_text(answer), now) for key in keys],
        )
    return Accepted(answer, repeated=False)


def prune_keys(connection: sqlite3.Connection, now: float) -> None:
    """Forget keys that are so old that nobody repeats their request any more."""
    connection.execute("DELETE FROM submissions WHERE at < ?", (now - _KEYS_LAST_SECONDS,))


def claim(connection: sqlite3.Connection, worker: str, *, lease_until: float, now: float) -> JobRecord | None:
    """Give the first queued job to a worker, which begins with it; None when none waits or the queue is paused."""
    return next(iter(_claim(connection, worker, lease_until, started=now, most=1)), None)


def claim_ahead(connection: sqlite3.Connection, worker: str, most: int, *, lease_until: float) -> list[JobRecord]:
    """Give the first queued jobs, `most` of them, to a worker that is busy. Each counts as waiting until the worker
    begins with it (`begin`)."""
    return _claim(connection, worker, lease_until, started=None, most=most)


def _claim(
    connection: sqlite3.Connection, worker: str, lease_until: float, *, started: float | None, most: int
) -> list[JobRecord]:
    rows = connection.execute(
        "UPDATE jobs SET state = 'running', token = token + 1, worker = ?, lease_until = ?, started = ?,"
        " cancel_requested = 0"
        f" WHERE position IN (SELECT position FROM jobs WHERE state = 'queued' ORDER BY {ORDER} LIMIT ?)"
        " AND NOT EXISTS (SELECT 1 FROM counters WHERE name = 'paused' AND value = 1)"
        " RETURNING *",
        (worker, lease_until, started, most),
    ).fetchall()
    sys.audit("loom.job.claiming")
    rows.sort(key=lambda row: (-row["urgency"], row["number"], row["position"]))
    return [record_of(row) for row in rows]


def begin(connection: sqlite3.Connection, job_id: str, token: int, now: float) -> bool:
    """A worker begins with a job that it was given ahead; False when it is not held under that token any more."""
    return _change(connection, "started = ?", (now,), job_id, token)


def give_back(connection: sqlite3.Connection, job_id: str, token: int, now: float) -> bool:
    """A worker hands a job back that it has not begun: it waits again in its old place. True if it has ended instead,
    because somebody has cancelled it."""
    row = connection.execute(
        "UPDATE jobs SET state = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'queued' END,"
        " finished = CASE WHEN cancel_requested THEN ? END, worker = NULL, lease_until = NULL, started = NULL"
        " WHERE id = ? AND token = ? AND state = 'running' RETURNING state",
        (now, job_id, token),
    ).fetchone()
    return row is not None and row["state"] == "cancelled"


def renew(connection: sqlite3.Connection, job_id: str, token: int, lease_until: float) -> bool:
    """Lengthen a lease; False when the job is not held under that token any more."""
    return _change(connection, "lease_until = ?", (lease_until,), job_id, token)


def expired(connection: sqlite3.Connection, now: float) -> list[tuple[str, int]]:
    """(job id, token) of the jobs whose lease ended before `now`, in the monotonic clock."""
    rows = connection.execute("SELECT id, token FROM jobs WHERE state = 'running' AND lease_until < ?", (now,))
    return [(row["id"], row["token"]) for row in rows]


def finish(connection: sqlite3.Connection, job_id: str, token: int, outcome: Outcome, now: float) -> bool:
    """Write how a job ended; False when it is not held under that token any more."""
    said = (
        outcome.state,
        now,
        to_text(outcome.results),
        to_text(outcome.meta),
        to_text(outcome.messages),
        None if outcome.error is None else to_text(outcome.error),
    )
    assignments = "state = ?, finished = ?, results = ?, meta = ?, messages = ?, error = ?, lease_until = NULL"
    ended = _change(connection, assignments, said, job_id, token)
    sys.audit("loom.job.ending", job_id)
    return ended


def lose(connection: sqlite3.Connection, job_id: str, token: int, *, counts: bool = True) -> tuple[Loss, int]:
    """A worker was lost with a job: queue it again, and say how that went and how often it was lost. One that was not
    begun is not to blame, so that does not count.

    "poisoned" after `MOST_LOSSES` and "cancelled" when that was wanted anyway: then the job is left for the caller to
    `finish`, who knows what to say. "stale" when it is not held under that token any more.
    """
    row = connection.execute(
        "SELECT losses, cancel_requested, started FROM jobs WHERE id = ? AND token = ? AND state = 'running'",
        (job_id, token),
    ).fetchone()
    if row is None:
        return "stale", 0
    losses = row["losses"] + (counts and row["started"] is not None)
    if row["cancel_requested"] or losses >= MOST_LOSSES:
        _change(connection, "losses = ?", (losses,), job_id, token)
        return ("cancelled" if row["cancel_requested"] else "poisoned"), losses
    assignments = "state = 'queued', losses = ?, worker = NULL, lease_until = NULL, started = NULL"
    _change(connection, assignments, (losses,), job_id, token)
    sys.audit("loom.job.losing", job_id)
    return "queued", losses


def recover(connection: sqlite3.Connection, now: float) -> list[tuple[JobRecord, Loss, int]]:
    """What `lose` makes of every job that ran when an earlier server ended. One that was given ahead and not begun just
    waits again."""
    rows = connection.execute(f"SELECT * FROM jobs WHERE state = 'running' ORDER BY {ORDER}").fetchall()
    records = [record_of(row) for row in rows]
    for record in records:
        if record.started is None:
            give_back(connection, record.id, record.token, now)
    return [(record, *lose(connection, record.id, record.token)) for record in records if record.started is not None]


def request_cancel(connection: sqlite3.Connection, job_id: str, now: float) -> tuple[str, int] | None:
    """Cancel a job: at once when it waits, marked when it runs.

    Returns:
        ("queued" or "running" as it was, token); None when it has ended or is unknown.
    """
    row = connection.execute("SELECT state, token FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None or row["state"] not in ("queued", "running"):
        return None
    if row["state"] == "queued":
        cancel_queued(connection, [job_id], now)
    else:
        connection.execute("UPDATE jobs SET cancel_requested = 1 WHERE id = ?", (job_id,))
    sys.audit("loom.job.cancelling", job_id)
    return row["state"], row["token"]


def cancel_queued(connection: sqlite3.Connection, job_ids: Iterable[str] | None, now: float) -> int:
    """Cancel those of the jobs that wait, all of them for None, and say how many."""
    change = "UPDATE jobs SET state = 'cancelled', finished = ? WHERE state = 'queued'"
    if job_ids is None:
        return connection.execute(change, (now,)).rowcount
    return sum(connection.execute(f"{change} AND id = ?", (now, job_id)).rowcount for job_id in job_ids)


def _insert(connection: sqlite3.Connection, submission: Submission, number: float, now: float) -> None:
    try:
        connection.execute(
            "INSERT INTO jobs"
            " (id, urgency, number, state, prompt, outputs, extra_data, workflow_id, client_id, created)"
            " VALUES (?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?)",
            (
                submission.id,
                submission.urgency,
                number,
                to_text(submission.prompt),
                to_text(list(submission.outputs)),
                to_text(submission.extra_data),
                submission.workflow_id,
                submission.client_id,
                now,
            ),
        )
    except sqlite3.IntegrityError as there:
        raise Conflict(f"There is a job {submission.id[:80]!r} already.", remedy="Use a new id.") from there


def _change(connection: sqlite3.Connection, assignments: str, values: tuple[Any, ...], job_id: str, token: int) -> bool:
    """The only way in which a running job's row is changed by those who hold it: under its token."""
    done = connection.execute(
        f"UPDATE jobs SET {assignments} WHERE id = ? AND token = ? AND state = 'running'", (*values, job_id, token)
    )
    return done.rowcount == 1

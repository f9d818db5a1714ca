"""What each node of a job did and cost, and what runs of a node usually cost."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.store.job_records import to_text

MOST_NODES = 5000  # of a job's record; the costliest stay
MOST_LEARNT = 500  # of a job's nodes that costs are learnt from
MOST_COSTS = 50_000  # rows, the latest used stay
MEMORY = 20  # later samples weigh at least one part in this many, so that a faster machine shows

SCHEMA = """
    CREATE TABLE job_nodes (
        job_id TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
        nodes TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE node_costs (
        key TEXT PRIMARY KEY,
        samples INTEGER NOT NULL,
        seconds REAL NOT NULL,
        peak_bytes INTEGER NOT NULL,
        result_bytes INTEGER NOT NULL,
        at REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX node_costs_at ON node_costs (at);
"""
# All samples in one statement: between two of them other threads take their turn.
_LEARN = """
    INSERT INTO node_costs (key, samples, seconds, peak_bytes, result_bytes, at)
    SELECT json_extract(value, '$[0]'), 1, json_extract(value, '$[1]'), json_extract(value, '$[2]'),
        json_extract(value, '$[3]'), ?
    FROM json_each(?) WHERE true
    ON CONFLICT (key) DO UPDATE SET
        seconds = seconds + (excluded.seconds - seconds) / min(samples + 1.0, ?), samples = samples + 1,
        peak_bytes = max(peak_bytes, excluded.peak_bytes), result_bytes = excluded.result_bytes, at = excluded.at
"""


@dataclass(frozen=True, slots=True)
class NodeRun:
    """What one node of a job did: how often it ran and was served from the cache, and what that took in all.

    `seconds` adds up over its runs, `peak_bytes` is the highest memory beyond what was in use before, `result_bytes`
    what its last result holds. `reason` says why it ran. `signature` is empty for nodes that only the cache served.
    """

    node_id: str
    class_type: str
    runs: int = 0
    cached: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    result_bytes: int = 0
    reason: str = ""
    signature: tuple[str, ...] = ()

    def plus(self, other: NodeRun) -> NodeRun:
        """Both together: rounds of a loop, or a node that was run again."""
        return replace(
            other,
            runs=self.runs + other.runs,
            cached=self.cached + other.cached,
            seconds=self.seconds + other.seconds,
            peak_bytes=max(self.peak_bytes, other.peak_bytes),
            result_bytes=other.result_bytes or self.result_bytes,
            reason=self.reason or other.reason,
            signature=self.signature or other.signature,
        )

    def to_json(self) -> dict[str, Any]:
        """As the API tells it, without the signature."""
        return {
            "class_type": self.class_type,
            "runs": self.runs,
            "cached": self.cached,
            "seconds": round(self.seconds, 6),
            "peak_bytes": self.peak_bytes,
            "result_bytes": self.result_bytes,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run usually takes, from so many samples; the peak is the highest seen."""

    samples: int
    seconds: float
    peak_bytes: int
    result_bytes: int


def write(connection: sqlite3.Connection, job_id: str, runs: Iterable[NodeRun], now: float) -> None:
    """Store the record of a job, and learn from it what its nodes cost."""
    costliest = sorted(runs, key=lambda run: -run.seconds)[:MOST_NODES]
    told = {run.node_id: run.to_json() for run in costliest}
    connection.execute(
        "INSERT OR REPLACE INTO job_nodes (job_id, nodes) SELECT id, ? FROM jobs WHERE id = ?", (to_text(told), job_id)
    )
    samples = [
        (key, run.seconds / run.runs, run.peak_bytes, run.result_bytes)
        for run in [run for run in costliest if run.runs and run.signature][:MOST_LEARNT]
        for key in (*run.signature, f"class {run.class_type}")
    ]
    if samples:
        connection.execute(_LEARN, (now, to_text(samples), MEMORY))


def prune(connection: sqlite3.Connection, keep: int = MOST_COSTS) -> None:
    """Forget the costs that were learnt longest ago beyond `keep`."""
    connection.execute(
        "DELETE FROM node_costs WHERE key IN (SELECT key FROM node_costs ORDER BY at DESC LIMIT -1 OFFSET ?)", (keep,)
    )


def of_jobs(connection: sqlite3.Connection, job_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """The nodes of jobs by their ids: what `NodeRun.to_json` wrote, by node id; jobs without a record are left out."""
    found: dict[str, Mapping[str, Any]] = {}
    for job_id in job_ids:
        row = connection.execute("SELECT nodes FROM job_nodes WHERE job_id = ?", (job_id,)).fetchone()
        if row is not None:
            found[job_id] = json.loads(row["nodes"])
    return found


def cost(connection: sqlite3.Connection, key: str) -> Cost | None:
    """What is known under a signature, or "class NAME"."""
    row = connection.execute(
        "SELECT samples, seconds, peak_bytes, result_bytes FROM node_costs WHERE key = ?", (key,)
    ).fetchone()
    return None if row is None else Cost(*row)

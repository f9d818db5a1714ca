"""The tables, as a list of steps from one version to the next. Steps are added, never changed."""

from __future__ import annotations

import sqlite3

from app.errors import Unavailable
from app.store import records

_STEPS = (
    """
    CREATE TABLE jobs (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        number REAL NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
        prompt TEXT NOT NULL,
        outputs TEXT NOT NULL,
        extra_data TEXT NOT NULL,
        workflow_id TEXT,
        client_id TEXT,
        token INTEGER NOT NULL DEFAULT 0,
        worker TEXT,
        lease_until REAL,
        losses INTEGER NOT NULL DEFAULT 0,
        cancel_requested INTEGER NOT NULL DEFAULT 0,
        created REAL NOT NULL,
        started REAL,
        finished REAL,
        results TEXT,
        meta TEXT,
        messages TEXT,
        error TEXT
    );
    CREATE INDEX jobs_queued ON jobs (number, position) WHERE state = 'queued';
    CREATE INDEX jobs_running ON jobs (started) WHERE state = 'running';
    CREATE INDEX jobs_finished ON jobs (finished, position) WHERE started IS NOT NULL AND finished IS NOT NULL;
    CREATE INDEX jobs_created ON jobs (created);
    CREATE TABLE submissions (
        key TEXT PRIMARY KEY,
        digest TEXT NOT NULL,
        answer TEXT NOT NULL,
        at REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX submissions_at ON submissions (at);
    CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE events (
        job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        seq INTEGER NOT NULL,
        type TEXT NOT NULL,
        data TEXT NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (job_id, seq)
    ) WITHOUT ROWID;
    CREATE INDEX events_at ON events (at);
    CREATE TABLE published (
        name TEXT PRIMARY KEY,
        filename TEXT NOT NULL,
        subfolder TEXT NOT NULL,
        type TEXT NOT NULL,
        at REAL NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE jobs ADD COLUMN urgency INTEGER NOT NULL DEFAULT 0;
    DROP INDEX jobs_queued;
    CREATE INDEX jobs_queued ON jobs (urgency DESC, number, position) WHERE state = 'queued';
    """,
    # Events of all jobs in one row of numbers, so that a client of many jobs asks "since n" once.
    """
    CREATE TABLE numbered_events (
        seq INTEGER PRIMARY KEY,
        job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        type TEXT NOT NULL,
        data TEXT NOT NULL,
        at REAL NOT NULL
    );
    INSERT INTO numbered_events (seq, job_id, type, data, at)
        SELECT row_number() OVER (ORDER BY at, job_id, seq), job_id, type, data, at FROM events;
    DROP TABLE events;
    ALTER TABLE numbered_events RENAME TO events;
    CREATE INDEX events_of_job ON events (job_id, seq);
    CREATE INDEX events_at ON events (at);
    CREATE INDEX jobs_client ON jobs (client_id) WHERE client_id IS NOT NULL;
    INSERT OR REPLACE INTO counters (name, value) SELECT 'event', coalesce(max(seq), 0) FROM events;
    """,
    records.SCHEMA,
    # Events are as old as their numbers are low.
    "DROP INDEX events_at;",
)


def upgrade(connection: sqlite3.Connection, to: int = len(_STEPS)) -> None:
    """Bring the tables to this program's version, or to the earlier one `to`.

    Raises:
        Unavailable: they are of a later version.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(_STEPS):
        raise Unavailable(
            f"The database is of version {version}, and this program knows {len(_STEPS)}.",
            remedy="Use the newer program, or another --user-directory.",
        )
    for number, step in enumerate(_STEPS[version:to], version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {step} PRAGMA user_version = {number}; COMMIT;")

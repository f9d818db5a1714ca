"""The tables, as a list of steps from one version to the next. Steps are added, never changed."""

from __future__ import annotations

import sqlite3

from app.errors import Unavailable

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
)


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring the tables to this program's version.

    Raises:
        Unavailable: they are of a later version.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(_STEPS):
        raise Unavailable(
            f"The database is of version {version}, and this program knows {len(_STEPS)}.",
            remedy="Use the newer program, or another --user-directory.",
        )
    for number, step in enumerate(_STEPS[version:], version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {step} PRAGMA user_version = {number}; COMMIT;")

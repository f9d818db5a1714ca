"""The power goes: what is left of the database at any moment holds all that was acknowledged until then.

The files are copied as the disk has them: the log only up to where it was flushed for certain, with or without parts of
what came after, as disks write what they were not asked to flush in any order or not at all.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from app.store import jobs
from app.store.database import Database, open_connection
from app.store.job_records import Outcome, Submission

_PAGE = 4096


@dataclass
class Disk:
    """What is on the disk for certain: the files as they were when the flush that was last over began."""

    path: Path
    database: bytes = b""
    log: bytes = b""
    asked_for: tuple[bytes, bytes] = (b"", b"")
    acknowledged: set[str] = field(default_factory=set[str])
    lock: threading.Lock = field(default_factory=threading.Lock)
    on: bool = True

    def hear(self, event: str, arguments: object) -> None:
        """A flush begins, or is over: what was in the files when it began is on the disk."""
        if not self.on or not event.startswith("loom.database.flush"):
            return
        with self.lock:
            if event == "loom.database.flushing":
                self.asked_for = self.path.with_name(self.path.name + "-wal").read_bytes(), self.path.read_bytes()
            else:
                self.log, self.database = self.asked_for

    def crash(self, target: Path, chance: random.Random) -> set[str]:
        """Leave the files as a crash at this moment might, and say what was acknowledged by now."""
        with self.lock:
            acknowledged = set(self.acknowledged)
            log = bytearray(self.log)
        now = self.path.with_name(self.path.name + "-wal").read_bytes()
        for start in range(len(log) - len(log) % _PAGE, len(now), _PAGE):  # pages that were not asked for
            page = now[start : start + _PAGE]
            if chance.random() < 0.5 and start >= len(log):
                log += bytes(start - len(log)) + page
        target.write_bytes(self.database)
        target.with_name(target.name + "-wal").write_bytes(bytes(log))
        return acknowledged


@contextmanager
def watched(path: Path) -> Iterator[Disk]:
    disk = Disk(path)
    sys.addaudithook(disk.hear)  # for good: there is no way to take it back, so it listens no more from the end on
    try:
        yield disk
    finally:
        disk.on = False


def submit(name: str) -> Submission:
    return Submission(name, {"1": {"class_type": "A", "inputs": {"text": name * 200}}}, ["1"])


def left_over(path: Path) -> dict[str, str]:
    """State by job of what a crash has left."""
    connection = open_connection(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return {row["id"]: row["state"] for row in connection.execute("SELECT id, state FROM jobs")}
    finally:
        connection.close()


def test_nothing_acknowledged_is_missing(tmp_path: Path) -> None:
    chance = random.Random(7)
    path = tmp_path / "x.sqlite"
    with watched(path) as disk:
        database = Database(path)

        def work(name: str) -> None:
            def take(connection: sqlite3.Connection) -> None:
                jobs.submit(connection, submit(name), keys=[name], digest="d", node_errors={}, now=1.0)

            database.write_blocking(take)
            with disk.lock:
                disk.acknowledged.add(f"{name} queued")
            if chance.random() < 0.5:
                database.write_blocking(lambda connection: end(connection, name))
                with disk.lock:
                    disk.acknowledged.add(f"{name} succeeded")

        for wave in range(10):
            answers = [threading.Thread(target=work, args=(f"j{wave}-{n}",)) for n in range(6)]
            for answer in answers:
                answer.start()
            crashed = tmp_path / f"crashed-{wave}.sqlite"
            acknowledged = disk.crash(crashed, chance) if disk.database else set[str]()
            for answer in answers:
                answer.join(60)
            if crashed.exists():
                found = left_over(crashed)
                for name, state in (each.split() for each in acknowledged):
                    assert found.get(name) in ((state,) if state == "succeeded" else ("queued", "running", "succeeded"))
        crashed = tmp_path / "last.sqlite"
        acknowledged = disk.crash(crashed, chance)
        database.close()
    assert len(acknowledged) > 60
    assert {name for each in acknowledged for name in [each.split()[0]]} == set(left_over(crashed))


def end(connection: sqlite3.Connection, name: str) -> None:
    connection.execute("UPDATE jobs SET state = 'running', token = 1, started = 2.0 WHERE id = ?", (name,))
    assert jobs.finish(connection, name, 1, Outcome("succeeded"), 3.0)

"""One SQLite file: one thread that writes, one that reads, in WAL mode.

Code that uses it is plain functions over a connection; `Database.write` and `Database.read` run them in the right
thread, `write` whole or not at all. What a write returns has reached the disk. See `store.writer`.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from app.errors import Unavailable
from app.store.schema import upgrade
from app.store.writer import Writer

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class Database:
    """An open database file.

    Raises:
        Unavailable: the file cannot be made or opened, or is of a newer version of the program.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = ThreadPoolExecutor(1, "database-reader")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = Writer(path, lambda: _open_for_writing(path))
            self._read_connection = self._reader.submit(_open_for_reading, path).result()
        except (OSError, sqlite3.Error) as broken:
            self._reader.shutdown()
            raise Unavailable(
                f"The database {path} cannot be opened: {broken}", remedy="Make its folder writable or use another one."
            ) from broken

    def write(self, work: Work[T], *, lasting: bool = True) -> asyncio.Future[T]:
        """Run `work` as a whole; it is durable when there is a result, and undone when it raises.

        Writes are done in the order of these calls, even if nobody waits for them any more. With `lasting=False` the
        disk is not waited for: for what may be as it was before when the machine loses power, and is not told to
        anybody as kept.

        Raises:
            Unavailable: no space, no permission, or another process holds the file.
        """
        return self._writer.submit_from_loop(work, lasting=lasting)

    async def read(self, work: Work[T]) -> T:
        """Run `work`, which only reads."""
        return await asyncio.wrap_future(self._reader.submit(work, self._read_connection))

    def write_blocking(self, work: Work[T]) -> T:
        """`write` for callers in a thread of their own."""
        return self._writer.submit(work).result()

    def read_blocking(self, work: Work[T]) -> T:
        """`read` for callers in a thread of their own."""
        return self._reader.submit(work, self._read_connection).result()

    def close(self) -> None:
        """Finish what was begun and close the file."""
        self._writer.close()
        self._reader.submit(self._read_connection.close)
        self._reader.shutdown()


def open_connection(path: Path | str) -> sqlite3.Connection:
    """A connection for writing, its schema up to date. For `Database` and for tests in memory."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: in WAL mode NORMAL may lose the last commits when the power goes.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        upgrade(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _open_for_reading(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA query_only = ON")
    return connection


def _open_for_writing(path: Path) -> sqlite3.Connection:
    connection = _open_or_set_aside(path)
    connection.execute("PRAGMA synchronous = NORMAL")  # the writer flushes the log by itself
    return connection


def _open_or_set_aside(path: Path) -> sqlite3.Connection:
    """Open the file. One that is no database any more is kept under another name, and a new one begun."""
    try:
        return open_connection(path)
    except sqlite3.OperationalError:
        raise  # locked, no permission, no space: the file itself may be well
    except sqlite3.DatabaseError as broken:
        aside = path.with_name(f"{path.name}.broken-{int(time.time())}")
        log.error("%s is damaged (%s); it is kept as %s and a new one begins", path, broken, aside.name)
        path.rename(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return open_connection(path)

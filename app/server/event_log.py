"""The messages of all jobs in the order in which they were told: numbered at once, stored in batches, tailed."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from app.errors import Unavailable
from app.server.replies import to_json
from app.store import events
from app.store.database import Database
from app.store.events import StoredEvent

T = TypeVar("T")

_FLUSH_SECONDS = 0.25


@dataclass(slots=True)
class EventLog:
    """Numbers messages and stores them, in order and none left out. All of it happens on the event loop.

    `open` comes first. `closed` tells those who tail the log to go.
    """

    database: Database
    closed: bool = False
    _last: int = 0
    _unsaved: list[StoredEvent] = field(default_factory=list[StoredEvent])
    _saving: int = 0
    _stored: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self) -> None:
        """Take a block of numbers."""
        self._last = await self.database.write(events.reserve)

    def add(self, job_id: str, kind: str, data: Mapping[str, Any]) -> StoredEvent:
        """Number a message; it is stored soon, at the latest by `save`."""
        self._last += 1
        event = StoredEvent(self._last, job_id, kind, to_json(data))
        self._unsaved.append(event)
        return event

    async def save(self) -> None:
        """Store what is not stored yet.

        Raises:
            Unavailable: it cannot be written now; it is kept and tried again.
        """
        if self._unsaved or self._saving:  # writes keep their order: after this one, those on their way are over
            await self.save_with(lambda connection: None, lasting=False)

    async def save_with(self, work: Callable[[sqlite3.Connection], T], *, lasting: bool = True) -> T:
        """`work` and all messages so far, in one transaction. Raises as `save` does; `lasting` as in `Database`."""
        unsaved, self._unsaved = self._unsaved, []
        now = time.time()

        def write(connection: sqlite3.Connection) -> T:
            events.append(connection, unsaved, now)
            return work(connection)

        self._saving += 1
        try:
            result = await self.database.write(write, lasting=lasting)
        except BaseException:
            self._unsaved = sorted([*unsaved, *self._unsaved], key=lambda event: event.seq)
            raise
        finally:
            self._saving -= 1
        sys.audit("loom.events.stored")
        self._wake()
        return result

    @property
    def next_save(self) -> asyncio.Event:
        """Set when the next messages have been stored, or the log is closed. Taken before one reads what is stored, so
        that nothing is missed between reading and waiting."""
        return self._stored

    async def flush_forever(self) -> None:
        """Store new messages every so often."""
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            with contextlib.suppress(Unavailable):  # it is tried again, and those who ask are told
                await self.save()

    async def close(self) -> None:
        """Store the last messages and let those go who tail the log."""
        with contextlib.suppress(Unavailable):
            await self.save()
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        stored, self._stored = self._stored, asyncio.Event()
        stored.set()

"""What request handlers work with."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from app.server.catalogue import Catalogue
from app.server.dispatch import Dispatcher
from app.server.event_log import EventLog
from app.server.hub import Hub
from app.server.publisher import Publisher
from app.settings import Settings
from app.store.database import Database
from app.store.folders import Folders

_LINES_KEPT = 500


@dataclass(slots=True)
class LogLines:
    """The last lines of the log, and who wants to hear new ones."""

    hub: Hub
    lines: deque[dict[str, str]] = field(default_factory=lambda: deque(maxlen=_LINES_KEPT))
    subscribers: set[str] = field(default_factory=set[str])

    def add(self, text: str) -> None:
        """Keep a line and tell it to the subscribers."""
        moment = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(moment))
        entry = {"t": f"{stamp}.{int(moment % 1 * 1e6):06}", "m": f"{text}\n"}
        self.lines.append(entry)
        for sid in self.subscribers:
            self.hub.send("logs", {"entries": [entry], "size": None}, sid)


class LogLinesHandler(logging.Handler):
    """Hands log records to `LogLines` in the event loop."""

    def __init__(self, add: Callable[[str], Any]) -> None:
        super().__init__()
        self._add = add

    def emit(self, record: logging.LogRecord) -> None:
        """Hand over one record."""
        with contextlib.suppress(RuntimeError):  # the event loop has ended
            self._add(self.format(record))


@dataclass(frozen=True, slots=True)
class Services:
    """Everything behind the HTTP surface. `secret` is what workers of this launch show."""

    settings: Settings
    database: Database
    folders: Folders
    publisher: Publisher
    hub: Hub
    catalogue: Catalogue
    dispatcher: Dispatcher
    logs: LogLines
    secret: str = field(repr=False)
    wrong_tokens: asyncio.Lock = field(default_factory=asyncio.Lock)
    new_users: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def log(self) -> EventLog:
        """The messages of all jobs."""
        return self.dispatcher.services.log


SERVICES = web.AppKey("services", Services)


def services_of(request: web.Request) -> Services:
    """The services of the application that serves a request."""
    return request.app[SERVICES]

"""How long the queue is: counted as it changes, so that nobody has to count the rows, and told to all clients."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from app.server.hub import Hub
from app.store.queue_order import QueueState


@dataclass(slots=True)
class QueueNews:
    """The queue in numbers, as the events of this process have left it. All of it happens on the event loop."""

    hub: Hub
    remaining: int = 0
    paused: bool = False
    changes: int = 0
    _due: bool = False

    def correct(self, counted: QueueState) -> None:
        """It is as somebody has counted it; tell so if that is news."""
        if counted != QueueState(self.remaining, self.paused):
            self.remaining, self.paused = counted.remaining, counted.paused
            self.changes += 1
            self.tell_soon()

    def count(self, more: int) -> None:
        """So many jobs are there more, or fewer, that wait or run."""
        self.remaining += more
        self.changes += 1

    def data(self) -> Mapping[str, object]:
        """The data of a `status` message now."""
        return status_data(QueueState(self.remaining, self.paused))

    def tell(self) -> None:
        """Tell all clients."""
        self.hub.send("status", self.data())

    def tell_soon(self) -> None:
        """Tell all clients in a moment, once for all who ask until then."""
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._tell_now)

    def _tell_now(self) -> None:
        self._due = False
        self.tell()


def status_data(queue: QueueState) -> dict[str, object]:
    """The data of a `status` message."""
    return {"status": {"exec_info": exec_info(queue)}}


def exec_info(queue: QueueState) -> dict[str, object]:
    """The queue in a few words."""
    return {"queue_remaining": queue.remaining, "paused": queue.paused}

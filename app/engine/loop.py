"""Asynchronous node bodies: their calls run on one event loop of the run, beside the nodes that are not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Sequence

from app.engine.node import Returned

POLL_SECONDS = 0.05  # how late an interrupt may be noticed while everything waits


class CallLoop:
    """Calls that have not ended, by node. The event loop is made when the first one comes."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls: dict[str, list[Returned | asyncio.Task[Returned]]] = {}
        self._tasks: set[asyncio.Task[Returned]] = set()

    def __len__(self) -> int:
        return len(self._calls)

    def start(self, call: Awaitable[Returned]) -> asyncio.Task[Returned]:
        """Begins one call."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        task = self._loop.create_task(_awaited(call))
        self._tasks.add(task)
        return task

    def put(self, node_id: str, calls: Sequence[Returned | asyncio.Task[Returned]]) -> None:
        """The calls of one node; `take` gives their results once all have ended."""
        self._calls[node_id] = list(calls)

    def holds(self, node_id: str) -> bool:
        """Whether the node has calls here."""
        return node_id in self._calls

    def finished(self, *, wait: bool) -> str | None:
        """A node all of whose calls have ended; with `wait` after a short time for them to do so."""
        if not self._calls or self._loop is None:
            return None
        if (node_id := self._ended()) is not None:
            return node_id
        self._loop.run_until_complete(self._progress(POLL_SECONDS if wait else 0))
        return self._ended()

    def take(self, node_id: str) -> list[Returned]:
        """The node's results; raises what its first failing call raised."""
        calls = self._calls.pop(node_id)
        self._tasks.difference_update(call for call in calls if isinstance(call, asyncio.Task))
        return [call.result() if isinstance(call, asyncio.Task) else call for call in calls]

    def close(self) -> None:
        """Cancels what still runs."""
        if self._loop is None:
            return
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(_settled(self._tasks))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _progress(self, seconds: float) -> None:
        # Two turns: one starts new tasks, one lets those end that had nothing to wait for.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks = [task for task in self._tasks if not task.done()]
        if seconds and tasks and self._ended() is None:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    def _ended(self) -> str | None:
        return next(
            (
                node_id
                for node_id, calls in self._calls.items()
                if all(call.done() for call in calls if isinstance(call, asyncio.Task))
            ),
            None,
        )


async def _awaited(call: Awaitable[Returned]) -> Returned:
    return await call


async def _settled(tasks: Collection[asyncio.Task[Returned]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)

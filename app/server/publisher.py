"""Publishes outputs from the event loop: one thread, one file after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from app.graph.json_values import is_object
from app.store.outputs import OutputFolders

T = TypeVar("T")


def has_staged(ui: Mapping[str, list[Any]]) -> bool:
    """Whether there is a file in it to be published."""
    return any(is_object(entry) and "staged" in entry for entries in ui.values() for entry in entries)


class Publisher:
    """`OutputFolders` for coroutines."""

    def __init__(self, folders: OutputFolders) -> None:
        self._folders = folders
        self._thread = ThreadPoolExecutor(1, "publisher")

    async def publish_ui(self, ui: Mapping[str, list[Any]], job_id: str, node_id: str) -> dict[str, list[Any]]:
        """See `OutputFolders.publish_ui`."""
        return await self._run(lambda: self._folders.publish_ui(ui, job_id, node_id))

    async def remove_stale(self, seconds: float) -> int:
        """See `OutputFolders.remove_stale`."""
        return await self._run(lambda: self._folders.remove_stale(seconds))

    def close(self) -> None:
        """Finish the file at hand."""
        self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

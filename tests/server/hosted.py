"""A server in a thread of its own, for clients that block: with a real link and the fake worker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.server.support import PATIENCE, Site, opened


class Hosted:
    """Start it with `Hosted(base, *words)`, end it with `close`. `url` is where it is."""

    def __init__(self, base: Path, *words: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.stack = AsyncExitStack()
        self.site: Site = self.do(self.stack.enter_async_context(opened(base, *words)))
        self.url = self.site.running.url

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The result of a coroutine in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def close(self) -> None:
        """End the server and its thread."""
        self.do(self.stack.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

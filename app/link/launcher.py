"""Local workers: child processes, started again when they die, ended with the server.

A child's standard input is a pipe that the server holds open. When the server ends, however it ends, the pipe closes
and the child ends itself (`watch_lifeline`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

log = logging.getLogger(__name__)

_SHORTEST_WAIT = 0.2
_LONGEST_WAIT = 30.0
_FAREWELL_SECONDS = 3.0
_ENDINGS_KEPT = 32


@dataclass(slots=True)
class _Child:
    """One place for a worker, and the process in it. `well` once that process has begun to work."""

    process: asyncio.subprocess.Process | None = None
    well: bool = False
    keeper: asyncio.Task[None] | None = None


@dataclass(slots=True)
class LocalLauncher:
    """Keeps `count` workers running.

    `command` is what a worker is started with and `environment` its whole environment; `hear` gets each line that a
    worker writes to its standard output or error.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    count: int = 1
    hear: Callable[[str], None] = log.info
    _children: list[_Child] = field(default_factory=list[_Child])
    _endings: dict[int, str] = field(default_factory=dict[int, str])
    _stopping: bool = False

    def start(self) -> None:
        """Start the workers. Needs a running event loop."""
        self._children = [_Child() for _ in range(self.count)]
        for child in self._children:
            child.keeper = asyncio.create_task(self._keep(child))

    def kill(self, process_id: int) -> bool:
        """End a worker at once; another takes its place. False when it is none of ours."""
        for child in self._children:
            process = child.process
            if process is not None and process.pid == process_id and process.returncode is None:
                process.kill()
                return True
        return False

    def joined(self, process_id: int) -> None:
        """A worker has begun to work: whatever ends it now, its start is no reason to wait with the next one."""
        for child in self._children:
            if child.process is not None and child.process.pid == process_id:
                child.well = True

    async def ending(self, process_id: int) -> str:
        """In words how a worker ended; "" when it is none of ours or lives on. Waits a moment for the end."""
        for child in self._children:
            if child.process is not None and child.process.pid == process_id:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(child.process.wait(), 1.0)
                if child.process.returncode is not None:
                    return describe_exit(child.process.returncode)
        return self._endings.get(process_id, "")

    async def stop(self) -> None:
        """End all workers, the patient way first."""
        self._stopping = True
        for child in self._children:
            if child.process is not None and child.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.process.terminate()
        keepers = [child.keeper for child in self._children if child.keeper is not None]
        if keepers:
            _, slow = await asyncio.wait(keepers, timeout=_FAREWELL_SECONDS)
            for child in self._children:
                if child.process is not None and child.process.returncode is None:
                    child.process.kill()
            for keeper in slow:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)

    async def _keep(self, child: _Child) -> None:
        wait = _SHORTEST_WAIT
        while not self._stopping:
            began, child.well = time.monotonic(), False
            try:
                ending = await self._live(child)
            except OSError as broken:
                ending = f"could not be started: {broken}"
            if self._stopping:
                return
            lived = time.monotonic() - began
            wait = _SHORTEST_WAIT if child.well else min(wait * 2, _LONGEST_WAIT)
            log.warning("a worker %s after %.0f s; another starts in %.1f s", ending, lived, wait)
            await asyncio.sleep(wait)

    async def _live(self, child: _Child) -> str:
        """One life of a worker; returns how it ended."""
        child.process = process = await asyncio.create_subprocess_exec(
            *self.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(self.environment),
            limit=1 << 20,
        )
        try:
            await self._read(process)
            ending = describe_exit(await process.wait())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        self._endings[process.pid] = ending
        for old in list(self._endings)[:-_ENDINGS_KEPT]:
            del self._endings[old]
        return ending

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # longer than the limit, such as a progress bar without line ends
                continue
            if not line:
                return
            self.hear(line.decode("utf-8", "replace").rstrip())


def describe_exit(code: int) -> str:
    """How a process ended, from its exit status."""
    if code >= 0:
        return f"ended with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (often the system, out of memory)" if name == "SIGKILL" else ""
    return f"was ended by {name}{hint}"


def watch_lifeline(stream: BinaryIO | None = None, end: Callable[[], None] = lambda: os._exit(1)) -> threading.Thread:
    """End this process when the stream, standard input by default, is closed: the server is gone.

    `os._exit`, because a worker in the middle of a computation could not be unwound.
    """
    source = sys.stdin.buffer if stream is None else stream

    def wait() -> None:
        with contextlib.suppress(OSError, ValueError):
            while source.read(1):
                pass
        end()

    watcher = threading.Thread(target=wait, name="lifeline", daemon=True)
    watcher.start()
    return watcher

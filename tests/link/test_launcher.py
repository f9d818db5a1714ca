"""Children: started again, ended with their parent, and their ends told in words."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import threading
from collections.abc import Callable

import pytest

from app.link.launcher import LocalLauncher, describe_exit, watch_lifeline


def launcher(code: str, hear: Callable[[str], None], count: int = 1) -> LocalLauncher:
    return LocalLauncher([sys.executable, "-c", code], dict(os.environ), count=count, hear=hear)


async def heard(lines: list[str], number: int) -> None:
    async with asyncio.timeout(20):
        while len(lines) < number:
            await asyncio.sleep(0.02)


async def test_a_dead_worker_is_replaced_and_its_end_is_told() -> None:
    lines: list[str] = []
    made = launcher("import os, sys; print(os.getpid(), flush=True); sys.stdin.read()", lines.append)
    made.start()
    await heard(lines, 1)
    first = int(lines[0])
    assert made.kill(first)
    assert "SIGKILL" in await made.ending(first)
    await heard(lines, 2)
    assert int(lines[1]) != first
    assert not made.kill(first)
    assert "SIGKILL" in await made.ending(first)
    assert await made.ending(1) == ""
    await made.stop()


async def test_a_worker_that_cannot_start_is_tried_less_and_less_often() -> None:
    lines: list[str] = []
    made = launcher("print('no', flush=True); raise SystemExit(3)", lines.append)
    made.start()
    await asyncio.sleep(1.5)
    await made.stop()
    assert 1 <= len(lines) <= 4


async def test_no_program_at_all() -> None:
    made = LocalLauncher(["/nonexistent/program"], {})
    made.start()
    await asyncio.sleep(0.1)
    await made.stop()


async def test_a_worker_that_does_not_go_is_made_to() -> None:
    lines: list[str] = []
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    made = launcher(code, lines.append)
    made.start()
    await heard(lines, 1)
    async with asyncio.timeout(10):
        await made.stop()


async def test_a_worker_that_had_begun_to_work_is_replaced_without_waiting_longer() -> None:
    lines: list[str] = []
    made = launcher("import os, sys; print(os.getpid(), flush=True); sys.stdin.read()", lines.append)
    made.start()
    for death in range(1, 9):  # were each a failed start, the waits would double up to half a minute
        await heard(lines, death)
        made.joined(int(lines[-1]))
        made.joined(-1)
        assert made.kill(int(lines[-1]))
    await heard(lines, 9)
    await made.stop()


async def test_a_line_without_end_does_no_harm() -> None:
    lines: list[str] = []
    write = "sys.stdout.write('x' * 3_000_000); sys.stdout.write('\\nlast\\n'); sys.stdout.flush()"
    code = f"import sys; {write}; sys.stdin.read()"
    made = launcher(code, lines.append)
    made.start()
    async with asyncio.timeout(20):
        while "last" not in lines:
            await asyncio.sleep(0.02)
    await made.stop()


@pytest.mark.parametrize(
    ("code", "words"), [(0, "status 0"), (3, "status 3"), (-9, "SIGKILL"), (-11, "SIGSEGV"), (-99, "signal 99")]
)
def test_ends_in_words(code: int, words: str) -> None:
    assert words in describe_exit(code)


def test_the_lifeline() -> None:
    ended = threading.Event()
    watch_lifeline(io.BytesIO(b"noise"), ended.set).join(5)
    assert ended.is_set()

"""Speed of the server: prompts a second, cancelling, the node catalogue, the socket's traffic, memory; beside a
calibration.

    python tests/bench/server.py

A real server process, a real worker process whose nodes do next to nothing, and this process as the client, over
loopback. Each prompt has five nodes and is durable before it is answered. The calibration is a loop in Python and one
commit of SQLite to the same disk, both measured in the same run: figures of two machines compare as ratios to them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from app.settings import ServeSettings  # noqa: E402

CLIENT = "bench"
GRACE = ServeSettings().cancel_grace_seconds


def prompt(seed: int) -> dict[str, Any]:
    """Four nodes and an output; another one for each seed."""
    nodes = {str(n): {"class_type": "Number", "inputs": {"value": (seed + n) % 1000}} for n in range(4)}
    return {**nodes, "4": {"class_type": "Say", "inputs": {"text": str(seed), "value": ["0", 0]}}}


def wide(count: int) -> dict[str, Any]:
    """So many outputs beside one another."""
    return {str(n): {"class_type": "Say", "inputs": {"text": str(n)}} for n in range(count)}


def loop_seconds() -> float:
    """A fixed loop in Python: the best of five."""

    def once() -> float:
        begin = time.perf_counter()
        sum(n * n for n in range(1_000_000))
        return time.perf_counter() - begin

    return min(once() for _ in range(5))


def commit_seconds(folder: Path) -> float:
    """One durable commit to the disk that the server writes to; the mean of a hundred."""
    connection = sqlite3.connect(folder / "calibration.sqlite", isolation_level=None)
    connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (x)")
    begin = time.perf_counter()
    for _ in range(100):
        connection.execute("INSERT INTO t VALUES (zeroblob(2000))")
    return (time.perf_counter() - begin) / 100


@contextmanager
def server(base: Path) -> Iterator[tuple[str, int]]:
    """(address, process id) of a server process."""
    code = f"import sys; sys.path[:0] = [{str(ROOT)!r}]; from tests.server import serve_fake; serve_fake.main()"
    process = subprocess.Popen([sys.executable, "-c", code, str(base), "--cancel-grace", str(GRACE)])
    try:
        while not (base / "address").exists():
            time.sleep(0.01)
        yield (base / "address").read_text(), process.pid
    finally:
        process.terminate()
        process.wait()


class Client:
    """One HTTP session and one socket."""

    def __init__(self, session: aiohttp.ClientSession, address: str, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.session, self.address, self.socket = session, address, socket
        self.received = 0

    async def submit(self, graph: dict[str, Any]) -> str:
        body = {"prompt": graph, "client_id": CLIENT}
        async with self.session.post(f"{self.address}/prompt", json=body) as answer:
            return (await answer.json())["prompt_id"]

    async def ends(self, count: int) -> None:
        """Listen until so many runs are over."""
        while count:
            said = await self.socket.receive()
            self.received += len(said.data)
            if said.type == aiohttp.WSMsgType.TEXT and '"executing"' in said.data:
                count -= json.loads(said.data)["data"]["node"] is None

    async def one_after_the_other(self, count: int) -> float:
        begin = time.perf_counter()
        for n in range(count):
            await self.submit(prompt(n))
            await self.ends(1)
        return count / (time.perf_counter() - begin)

    async def at_once(self, count: int, seed: int = 1000) -> tuple[float, float]:
        """(answered, finished) prompts a second."""
        begin = time.perf_counter()
        ending = asyncio.create_task(self.ends(count))
        await asyncio.gather(*(self.submit(prompt(seed + n)) for n in range(count)))
        answered = time.perf_counter() - begin
        await ending
        return count / answered, count / (time.perf_counter() - begin)

    async def cancelled(self, how: str) -> tuple[float, float]:
        """(seconds until it is acknowledged, seconds until it is over) of a cancel of a node that does not yield."""
        node = {"class_type": "Stubborn", "inputs": {"seconds": 600.0, "how": how}}
        job_id = await self.submit({"1": node, "2": {"class_type": "Say", "inputs": {"text": "", "value": ["1", 0]}}})
        while (await self.socket.receive()).data.find('"executing"') < 0:
            pass
        begin = time.perf_counter()
        async with self.session.post(f"{self.address}/api/jobs/{job_id}/cancel") as answer:
            await answer.read()
        acknowledged = time.perf_counter() - begin
        await self.ends(1)
        return acknowledged, time.perf_counter() - begin

    async def catalogue(self) -> tuple[float, int]:
        """(seconds, bytes on the wire) of the node catalogue."""
        begin, size = time.perf_counter(), 0
        for _ in range(20):
            async with self.session.get(f"{self.address}/object_info", headers={"Accept-Encoding": "gzip"}) as answer:
                size = len(await answer.read())
        return (time.perf_counter() - begin) / 20, size

    async def traffic(self, count: int) -> int:
        """Bytes on the socket for a prompt of so many outputs."""
        before = self.received
        await self.submit(wide(count))
        await self.ends(1)
        return self.received - before


def processor(process_id: int) -> float:
    """Seconds of processor time that a process has used."""
    words = Path(f"/proc/{process_id}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def resident(process_id: int) -> float:
    """MiB of main memory that a process holds."""
    for line in Path(f"/proc/{process_id}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


async def memory_over_time(client: Client, base: Path, process_id: int) -> list[tuple[str, str]]:
    """MiB of the server and of its worker after 200, 1,000 and 2,000 different prompts."""
    worker_id = int((base / "worker.pid").read_text("ascii"))
    held: list[tuple[float, float]] = []
    done = 0
    for count in (200, 1000, 2000):
        while done < count:
            await client.at_once(100, seed=10_000 + done)
            done += 100
        held.append((resident(process_id), resident(worker_id)))
    servers, workers = (", ".join(f"{each:.1f}" for each in row) + " MiB" for row in zip(*held, strict=True))
    return [("server's memory, 200 / 1000 / 2000", servers), ("worker's memory, 200 / 1000 / 2000", workers)]


async def measure(address: str, base: Path, process_id: int, loop: float) -> list[tuple[str, str]]:
    """All figures, as (name, text); times also as ratios to the calibration loop."""
    connector = aiohttp.TCPConnector(limit=16)
    async with (
        aiohttp.ClientSession(connector=connector, auto_decompress=False) as session,
        session.ws_connect(f"{address}/ws?clientId={CLIENT}", max_msg_size=0) as socket,
    ):
        client = Client(session, address, socket)
        async with session.get(f"{address}/object_info") as answer:  # the worker has joined
            await answer.read()
        await client.one_after_the_other(50)
        before = processor(process_id)
        single = await client.one_after_the_other(200)
        answered, finished = await client.at_once(200)
        each = (processor(process_id) - before) / 400
        seconds, size = await client.catalogue()
        small, large = await client.traffic(500), await client.traffic(5000)
        memory = await memory_over_time(client, base, process_id)
        cancels = [(how, *await client.cancelled(how)) for how in ("sleep", "in C", "swallow")]
        return [
            ("prompts one after the other", f"{single:.0f} /s, {single * loop:.1f} a loop"),
            ("200 at once: answered", f"{answered:.0f} /s, {answered * loop:.1f} a loop"),
            ("200 at once: finished", f"{finished:.0f} /s, {finished * loop:.1f} a loop"),
            ("server's processor time", f"{each * 1e3:.2f} ms a prompt, {each / loop:.3f} loops"),
            ("node catalogue", f"{seconds * 1e3:.1f} ms, {seconds / loop:.3f} loops, {size / 1024:.0f} KiB"),
            ("socket, 500 wide", f"{small / 500:.0f} bytes a node"),
            ("socket, 5000 wide", f"{large / 5000:.0f} bytes a node"),
            *memory,
            *(
                (f"cancel, {how}", f"acknowledged in {acknowledged * 1e3:.0f} ms, over in {over:.2f} s")
                for how, acknowledged, over in cancels
            ),
        ]


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        loop, commit = loop_seconds(), commit_seconds(base)
        rows = [("loop (calibration)", f"{loop * 1e3:.0f} ms"), ("commit (calibration)", f"{commit * 1e3:.2f} ms")]
        with server(base) as (address, process_id):
            rows += asyncio.run(measure(address, base, process_id, loop))
    for name, text in rows:
        sys.stdout.write(f"{name:36} {text}\n")


if __name__ == "__main__":
    main()

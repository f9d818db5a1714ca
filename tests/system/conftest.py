"""The whole program: `main.py serve` in a process of its own, with a real worker and the checkpoint that ships."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


class Program:
    """A running server and what tests ask of it."""

    def __init__(self, base: Path, *words: str) -> None:
        self.base = base
        self.words = words
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = self._launch()

    def _launch(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "main.py", "serve", "--no-open", "--port", str(self.port)]
        with (self.base / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                [*command, "--base-directory", str(self.base), *self.words],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.process = process
        self.wait_for("/system_stats")
        return process

    def wait_for(self, path: str, seconds: float = 60.0) -> Any:
        """The answer of a path, asked for until it comes."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.get(path)
            except OSError:
                assert self.process.poll() is None, (self.base / "log.txt").read_text()
                assert time.monotonic() < deadline, f"no answer from {path}"
                time.sleep(0.02)

    def get(self, path: str) -> Any:
        """A JSON answer."""
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def post(self, path: str, data: Any) -> tuple[int, Any]:
        """Status and JSON answer of a post, refusals included."""
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, body), timeout=60) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as refusal:
            return refusal.code, json.loads(refusal.read())

    def finished(self, job: str, seconds: float = 90.0) -> dict[str, Any]:
        """The history entry of a job, once there is one."""
        deadline = time.monotonic() + seconds
        while not (history := self.get(f"/history/{job}")):
            assert time.monotonic() < deadline, (self.base / "log.txt").read_text()[-3000:]
            time.sleep(0.05)
        return history[job]

    def worker_pid(self) -> int:
        """The process id of the server's worker."""
        found = subprocess.run(["ps", "-axo", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
        rows = [line.split(maxsplit=2) for line in found.stdout.splitlines()]
        return next(int(pid) for pid, parent, words in rows if int(parent) == self.process.pid and " worker " in words)

    def restart(self, how: signal.Signals) -> None:
        """End the server with a signal and start it again on the same directories."""
        os.kill(self.process.pid, how)
        self.process.wait(20)
        self.process = self._launch()

    def stop(self) -> None:
        """End the server."""
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server for the tests of a module."""
    running = Program(tmp_path_factory.mktemp("base"))
    yield running
    running.stop()


@pytest.fixture
def graph() -> dict[str, Any]:
    """The default graph as an API prompt."""
    return json.loads((ROOT / "web" / "templates" / "default.api.json").read_text())

"""A real server on a loopback port with a real worker process, and what tests ask it with."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from app.server.serve import Running, serving
from app.settings import Settings

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0


@dataclass
class Site:
    """A server and a session to ask it with."""

    running: Running
    session: aiohttp.ClientSession
    base: Path

    async def get(self, path: str, **options: Any) -> Any:
        async with self.session.get(self.running.url + path, **options) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def post(self, path: str, data: Any = None, status: int = 200, **options: Any) -> Any:
        async with self.session.post(self.running.url + path, json=data, **options) as answer:
            text = await answer.text()
            assert answer.status == status, (answer.status, text)
            return json.loads(text) if text else None

    async def submit(self, prompt: dict[str, Any], **more: Any) -> str:
        return (await self.post("/prompt", {"prompt": prompt, **more}))["prompt_id"]

    async def finished(self, job_id: str) -> dict[str, Any]:
        """The history entry, once there is one."""
        return await eventually(lambda: self.get(f"/history/{job_id}"), lambda found: job_id in found, job_id)

    async def status(self, job_id: str, wanted: str) -> dict[str, Any]:
        """The job, once it has that status."""
        return await eventually(lambda: self.get(f"/api/jobs/{job_id}"), lambda job: job["status"] == wanted)


@dataclass
class Ear:
    """A client's socket: everything heard, in order."""

    socket: aiohttp.ClientWebSocketResponse
    heard: list[Any] = field(default_factory=list)

    async def until(self, kind: str, **data: Any) -> dict[str, Any]:
        """Listen until a message of that type with that data."""
        async with asyncio.timeout(PATIENCE):
            while True:
                said = await self.socket.receive()
                if said.type == aiohttp.WSMsgType.BINARY:
                    self.heard.append(said.data)
                elif said.type == aiohttp.WSMsgType.TEXT:
                    message = json.loads(said.data)
                    self.heard.append(message)
                    if message["type"] == kind and all(message["data"].get(k) == v for k, v in data.items()):
                        return message
                else:
                    raise AssertionError(f"closed while waiting for {kind}: {self.types}")

    @property
    def types(self) -> list[str]:
        return ["binary" if isinstance(said, bytes) else said["type"] for said in self.heard]


async def eventually(ask: Callable[[], Awaitable[Any]], good: Callable[[Any], bool], key: str | None = None) -> Any:
    """Ask until the answer is good."""
    async with asyncio.timeout(PATIENCE):
        while not good(answer := await ask()):
            await asyncio.sleep(0.02)
    return answer if key is None else answer[key]


def settings_for(base: Path, *words: str) -> Settings:
    """Settings of a server on a free port that keeps everything below `base`."""
    usual = ["--port", "0", "--no-open", "--base-directory", str(base), "--cancel-grace", "0.3"]
    return Settings.from_arguments([*usual, *words])


def fake_command(settings: Settings) -> Callable[[str], Sequence[str]]:
    """Starts the fake worker in place of the real one."""
    starter = f"import sys; sys.path[:0] = [{str(ROOT)!r}]; from tests.server import fake_worker; fake_worker.main()"
    return lambda url: [sys.executable, "-c", starter, *settings.worker_arguments(url)]


@asynccontextmanager
async def opened(base: Path, *words: str) -> AsyncIterator[Site]:
    """A server, for as long as the context lasts."""
    settings = settings_for(base, *words)
    async with serving(settings, fake_command(settings)) as running, aiohttp.ClientSession() as session:
        yield Site(running, session, base)


@asynccontextmanager
async def ear(site: Site, client: str, flags: dict[str, Any] | None = None) -> AsyncIterator[Ear]:
    """A client's socket, for as long as the context lasts."""
    async with site.session.ws_connect(f"{site.running.url}/ws?clientId={client}") as socket:
        if flags is not None:
            await socket.send_json({"type": "feature_flags", "data": flags})
        made = Ear(socket)
        await made.until("status")
        yield made


def show(text: str = "", value: Any = None) -> dict[str, Any]:
    """An output node."""
    inputs = {"text": text} if value is None else {"text": text, "value": value}
    return {"class_type": "Show", "inputs": inputs}

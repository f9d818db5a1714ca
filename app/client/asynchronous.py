"""The same client for asyncio: calls run in threads, the socket is asyncio's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect

from app.client.client import Client, Said, heard
from app.client.values import Estimate, Event, File, Queue, Result, Submitted


class AsyncClient:
    """A server as an object; each method does, and raises, what `Client`'s method of that name does."""

    def __init__(self, url: str = "http://127.0.0.1:8188", **options: Any):
        self.client = Client(url, **options)

    async def submit(self, graph: Mapping[str, Any], *, key: str | None = None, **more: Any) -> Submitted:
        """Queue a graph."""
        return await asyncio.to_thread(lambda: self.client.submit(graph, key=key, **more))

    async def wait(
        self, job_id: str, timeout: float | None = None, hear: Callable[[Event], None] | None = None
    ) -> Result:
        """The result of a job, once it has ended. `hear` is called in a thread."""
        return await asyncio.to_thread(self.client.wait, job_id, timeout, hear)

    async def run(self, graph: Mapping[str, Any], timeout: float | None = None, **more: Any) -> Result:
        """Submit and wait."""
        return await asyncio.to_thread(lambda: self.client.run(graph, timeout, **more))

    async def run_workflow(self, name: str, timeout: float | None = None, **inputs: Any) -> Result:
        """Run a saved workflow with these inputs and wait."""
        return await asyncio.to_thread(lambda: self.client.run_workflow(name, timeout, **inputs))

    async def job(self, job_id: str) -> Mapping[str, Any]:
        """What the server knows of a job."""
        return await asyncio.to_thread(self.client.job, job_id)

    async def cancel(self, job_id: str) -> bool:
        """Cancel a job."""
        return await asyncio.to_thread(self.client.cancel, job_id)

    async def jobs(self, *status: str, limit: int | None = None) -> list[Mapping[str, Any]]:
        """The jobs, newest first."""
        return await asyncio.to_thread(lambda: self.client.jobs(*status, limit=limit))

    async def queue(self) -> Queue:
        """What runs and what waits."""
        return await asyncio.to_thread(self.client.queue)

    async def pause(self) -> None:
        """Let no waiting job begin until `resume`."""
        await asyncio.to_thread(self.client.pause)

    async def resume(self) -> None:
        """Let waiting jobs begin again."""
        await asyncio.to_thread(self.client.resume)

    async def reorder(self, job_id: str, **place: Any) -> bool:
        """Move a waiting job: `to`, `before` or `after`."""
        return await asyncio.to_thread(lambda: self.client.reorder(job_id, **place))

    async def urge(self, job_id: str, urgency: int) -> bool:
        """Let a waiting job run before those of lower urgency."""
        return await asyncio.to_thread(self.client.urge, job_id, urgency)

    async def estimate(self, graph: Mapping[str, Any], **more: Any) -> Estimate:
        """What a graph would take, without running it."""
        return await asyncio.to_thread(lambda: self.client.estimate(graph, **more))

    async def nodes(self) -> Mapping[str, Any]:
        """The classes of nodes by name."""
        return await asyncio.to_thread(self.client.nodes)

    async def workflows(self) -> Mapping[str, Mapping[str, Any]]:
        """The saved workflows: for each name the JSON schema of its inputs."""
        return await asyncio.to_thread(self.client.workflows)

    async def save_workflow(self, name: str, graph: Mapping[str, Any]) -> None:
        """Keep a graph as the saved workflow of that name."""
        await asyncio.to_thread(self.client.save_workflow, name, graph)

    async def events(self, job_id: str, since: int = 0, timeout: float | None = None) -> AsyncIterator[Event]:
        """The job's stored messages after a number, as they come, until it has ended."""
        told = self.client.events(job_id, since, timeout)
        while (event := await asyncio.to_thread(next, told, None)) is not None:
            yield event

    async def upload(self, source: Path | bytes, name: str = "", **options: Any) -> File:
        """Bring a file to the server's input folder."""
        return await asyncio.to_thread(lambda: self.client.upload(source, name, **options))

    async def fetch(self, file: File, *, preview: str = "") -> bytes:
        """A file's bytes."""
        return await asyncio.to_thread(lambda: self.client.fetch(file, preview=preview))

    @asynccontextmanager
    async def listen(self) -> AsyncGenerator[AsyncIterator[Said]]:
        """Everything said to this client while the context lasts."""
        transport = self.client.transport
        address = f"ws{transport.url.removeprefix('http')}/api/ws?clientId={quote(self.client.client_id, safe='')}"
        headers = {"Authorization": f"Bearer {transport.token}"} if transport.token else {}
        async with connect(address, additional_headers=headers, max_size=None) as socket:
            await socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
            yield _heard(socket)


async def _heard(socket: ClientConnection) -> AsyncIterator[Said]:
    async for said in socket:
        told = heard(said)
        if told is not None:
            yield told

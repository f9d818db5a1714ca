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

from app.client.client import Client, heard
from app.client.values import Event, File, Preview, Result, Submitted


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

    async def upload(self, source: Path | bytes, name: str = "", **options: Any) -> File:
        """Bring a file to the server's input folder."""
        return await asyncio.to_thread(lambda: self.client.upload(source, name, **options))

    async def fetch(self, file: File, *, preview: str = "") -> bytes:
        """A file's bytes."""
        return await asyncio.to_thread(lambda: self.client.fetch(file, preview=preview))

    @asynccontextmanager
    async def listen(self) -> AsyncGenerator[AsyncIterator[Event | Preview]]:
        """Everything said to this client while the context lasts."""
        transport = self.client.transport
        address = f"ws{transport.url.removeprefix('http')}/api/ws?clientId={quote(self.client.client_id, safe='')}"
        headers = {"Authorization": f"Bearer {transport.token}"} if transport.token else {}
        async with connect(address, additional_headers=headers, max_size=None) as socket:
            await socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
            yield _heard(socket)


async def _heard(socket: ClientConnection) -> AsyncIterator[Event | Preview]:
    async for said in socket:
        told = heard(said)
        if told is not None:
            yield told

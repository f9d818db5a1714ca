"""The sockets of clients: who gets which message, in order, and without waiting for the slow."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from app.server.frames import frame
from app.server.replies import to_json

PREVIEW, TEXT, PREVIEW_WITH_METADATA = 1, 3, 4
_FORMATS = {"image/jpeg": 1, "image/png": 2}
_CROWDED = 200  # messages waiting; then what a newer message replaces is left out
_LOST = 20_000  # messages waiting; then the client is not reading at all
_TOGETHER = 64  # messages in one write
_FULL = 1 << 20  # bytes that wait in the transport; then more are held back here
_PAUSE = 0.01  # seconds until it is looked at again
_Waiting = tuple[int | None, str | bytes]
_DISPENSABLE = frozenset({"progress", "progress_state", "logs"})


@dataclass(eq=False, slots=True)
class Client:
    """One socket, not compressed. `flags` are the features that the client said it supports.

    With the socket's `transport`, one moment's messages go out in one write instead of one each.
    """

    sid: str
    socket: web.WebSocketResponse
    flags: Mapping[str, Any] = field(default_factory=dict[str, Any])
    transport: asyncio.WriteTransport | None = None
    _waiting: deque[_Waiting] = field(default_factory=lambda: deque[_Waiting]())
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def takes_metadata(self) -> bool:
        """Whether previews are to come with metadata."""
        return self.flags.get("supports_preview_metadata") is True

    def put(self, content: str | bytes, *, seq: int | None = None, dispensable: bool = False) -> None:
        """Add a message to those on their way. `seq` is its number, if it is stored."""
        if dispensable and len(self._waiting) > _CROWDED:
            return
        self._waiting.append((seq, content))
        self._wake.set()

    def put_first(self, missed: Sequence[_Waiting]) -> None:
        """Send these numbered messages before what waits, and none of them twice. For before `write` begins."""
        last = max((seq for seq, _ in missed if seq is not None), default=0)
        self._waiting = deque([*missed, *(item for item in self._waiting if item[0] is None or item[0] > last)])

    async def write(self) -> None:
        """Send what is put, for as long as the socket lives."""
        with suppress(ConnectionError, RuntimeError):  # closed at the other end: its reader ends as well
            while len(self._waiting) < _LOST:
                if self._is_behind():
                    await asyncio.sleep(_PAUSE)  # the client reads slowly
                elif self._waiting:
                    await self._write_some()
                else:
                    self._wake.clear()
                    await self._wake.wait()
        await self.socket.close()

    def _is_behind(self) -> bool:
        transport = self.transport
        return transport is not None and not transport.is_closing() and transport.get_write_buffer_size() > _FULL

    async def _write_some(self) -> None:
        """Send what has gathered: in one write where the transport is known."""
        some = [self._waiting.popleft()[1] for _ in range(min(len(self._waiting), _TOGETHER))]
        if self.transport is not None and not self.socket.closed:
            if self.transport.is_closing():
                raise ConnectionResetError("the client is gone")
            self.transport.write(b"".join(map(frame, some)))
            await asyncio.sleep(0)  # others take their turn, and more may gather
            return
        for content in some:
            if isinstance(content, bytes):
                await self.socket.send_bytes(content)
            else:
                await self.socket.send_str(content)


class Hub:
    """All clients by their ids."""

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}

    def add(self, client: Client) -> None:
        """From now on messages for that id go to this client."""
        self._clients[client.sid] = client

    def remove(self, client: Client) -> None:
        """Forget a client. Another one that took its id meanwhile stays."""
        if self._clients.get(client.sid) is client:
            del self._clients[client.sid]

    def send(self, kind: str, data: Mapping[str, Any], to: str | None = None, seq: int | None = None) -> None:
        """Send a message to one client, or for None to all. A client that is not there misses it."""
        if self._anybody(to):
            self.send_text(kind, to_json(data), to, seq)

    def send_text(self, kind: str, text: str, to: str | None = None, seq: int | None = None) -> None:
        """`send` for data that is JSON text already."""
        clients = self._recipients(to)
        if clients:
            message = message_text(kind, text, seq)
            for client in clients:
                client.put(message, seq=seq, dispensable=kind in _DISPENSABLE)

    def send_preview(self, metadata: Mapping[str, Any], image: bytes, to: str | None = None) -> None:
        """Send a picture in the form that each client takes. `metadata` holds image_type and the node's ids."""
        for client in self._recipients(to):
            frame = preview_frame(metadata, image, with_metadata=client.takes_metadata)
            client.put(frame, dispensable=True)

    def tell(self, event: str | int, data: Any, to: str | None = None) -> None:
        """Pass on what a pack says: a message by name, or for a number a binary frame whose bytes come in base 64."""
        if isinstance(event, str):
            self.send(event, data, to)
            return
        with suppress(ValueError, TypeError, struct.error):  # a pack's mistake
            frame = struct.pack(">I", event) + base64.b64decode(data, validate=True)
            for client in self._recipients(to):
                client.put(frame)

    async def close(self) -> None:
        """Close all sockets, so that clients dial again when the server is back."""
        for client in list(self._clients.values()):
            await client.socket.close(code=1001, message=b"the server ends")

    def _anybody(self, to: str | None) -> bool:
        return bool(self._clients) if to is None else to in self._clients

    def _recipients(self, to: str | None) -> Collection[Client]:
        if to is None:
            return self._clients.values()
        client = self._clients.get(to)
        return () if client is None else (client,)


def message_text(kind: str, data: str, seq: int | None = None) -> str:
    """A message as it goes over the socket, its data given as JSON text."""
    number = "" if seq is None else f',"seq":{seq}'
    return f'{{"type":{to_json(kind)},"data":{data}{number}}}'


def preview_frame(metadata: Mapping[str, Any], image: bytes, *, with_metadata: bool) -> bytes:
    """A binary message: a 4-byte big-endian id, then format and image, or length, metadata and image."""
    if not with_metadata:
        return struct.pack(">II", PREVIEW, _FORMATS.get(metadata["image_type"], 1)) + image
    header = json.dumps(metadata).encode()
    return struct.pack(">II", PREVIEW_WITH_METADATA, len(header)) + header + image

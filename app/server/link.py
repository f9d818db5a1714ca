"""Where workers dial in."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from aiohttp import WSMsgType, web

from app.errors import AppError, Forbidden, Unavailable
from app.link.messages import PROTOCOL, Hello, Message, Welcome, bundle, encode, unbundle
from app.server.dispatch import Worker
from app.server.pack_catalogue import PACKS, PackCatalogue
from app.server.security import equal
from app.server.services import Services, services_of

log = logging.getLogger(__name__)

_LARGEST_MESSAGE = 256 << 20


class SocketChannel:
    """See `dispatch.Channel`."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def send(self, *messages: Message) -> None:
        """Say something; raises ConnectionError when the worker is gone."""
        if self._socket.closed:
            raise ConnectionResetError("the worker's connection is closed")
        for text in bundle([encode(message) for message in messages]):
            await self._socket.send_str(text)

    async def close(self) -> None:
        """Hang up."""
        await self._socket.close()


def routes() -> list[web.RouteDef]:
    """GET /link."""
    return [web.get("/link", link)]


async def link(request: web.Request) -> web.WebSocketResponse:
    """Talk with one worker for as long as it is connected.

    Raises:
        Forbidden: without the secret of this launch, or from a page.
    """
    services = services_of(request)
    shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if "Origin" in request.headers or not equal(shown, services.secret):
        raise Forbidden("Workers show the secret of this launch.", remedy="Let the server start its workers.")
    socket = web.WebSocketResponse(max_msg_size=_LARGEST_MESSAGE, compress=False)
    await socket.prepare(request)
    worker: Worker | None = None
    try:
        async for said in socket:
            if said.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                break
            for content in [said.data] if isinstance(said.data, bytes) else unbundle(said.data):
                if worker is not None:
                    await services.dispatcher.heard(worker, content)
                elif isinstance(content, Hello):
                    worker = await _welcome(services, request.app[PACKS], SocketChannel(socket), content)
            if worker is None:
                break
    except (AppError, ConnectionError) as broken:
        log.error("the talk with a worker is broken off: %s", broken)
    finally:
        if worker is not None:
            with contextlib.suppress(Unavailable):  # the job's lease runs out, and then it is tried again
                await services.dispatcher.left(worker)
        await socket.close()
    return socket


async def _welcome(services: Services, packs: PackCatalogue, channel: SocketChannel, hello: Hello) -> Worker | None:
    if hello.protocol != PROTOCOL:
        log.error("a worker speaks version %s of the protocol, this server %s", hello.protocol, PROTOCOL)
        return None
    changed = services.catalogue.learn(hello.specs, hello.failures)
    replaced = services.catalogue.learn_replacements(hello.packs.get("replacements"))
    packs.learn(hello.packs)
    worker = services.dispatcher.joined(channel, hello)
    await channel.send(Welcome(worker.id, services.dispatcher.lease_seconds))
    if changed or replaced:
        await asyncio.to_thread(services.catalogue.keep, services.folders.user / "nodes.json")
    if changed:
        services.hub.send("nodes_changed", {"count": len(hello.specs)})
    return worker

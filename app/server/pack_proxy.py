"""Hands requests for routes of packs on to the worker that serves them.

Bodies pass piece by piece and are bounded; what a pack answers is passed on, its failures included. A handler that
says nothing for long is given up: this server never waits with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp import web

from app.errors import AppError, Conflict, TooLarge, Unavailable
from app.graph.json_values import is_dict
from app.server.middleware import Handler
from app.server.pack_catalogue import PACKS, PackCatalogue
from app.server.services import services_of
from app.server.static import get_asset

log = logging.getLogger(__name__)

SECRET_HEADER = "X-Loom-Packs"
SILENT_SECONDS = 120.0  # a pack may load a model before it says its first word
_PIECE = 1 << 16
# Of one connection only, ours to say, or nobody's business.
_KEPT_BACK = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        SECRET_HEADER.lower(),
    }
)

_SESSION = web.AppKey("pack session", aiohttp.ClientSession)


class PackSilent(AppError):
    """A pack's handler did not answer in time."""

    status = 504
    kind = "pack_silent"


async def pack_session(app: web.Application) -> AsyncIterator[None]:
    """Connections to workers, for the life of the application."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=SILENT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as it:
        app[_SESSION] = it
        yield


class SocketOfPack(AppError):
    """A pack's route wants to be a WebSocket."""

    status = 501
    kind = "socket_of_pack"


@web.middleware
async def to_packs(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Ask packs where nothing of ours answers."""
    unanswered = request.match_info.http_exception is not None or request.match_info.handler is get_asset
    path = request.path.removeprefix("/api") if request.path.startswith("/api/") else request.path
    packs = request.app[PACKS]
    if unanswered and packs.answers(request.method, path):
        return await forward(request, _address(request, packs) + path)
    return await handler(request)


def _address(request: web.Request, packs: PackCatalogue) -> str:
    """Where the worker serves routes of packs that is to answer.

    Raises:
        SocketOfPack: a WebSocket is asked for.
        Conflict: something is to be told to one of several workers.
    """
    if request.headers.get("Upgrade", "").lower() == "websocket":
        raise SocketOfPack(
            f"{request.path[:200]} is a node pack's, and sockets of packs are not served.",
            remedy="Packs reach pages by PromptServer.instance.send_sync, over the program's own socket at /ws.",
        )
    workers = services_of(request).dispatcher.workers.values()
    there = [address for each in workers if (address := str(each.hello.packs.get("address") or ""))]
    if len(there) > 1 and request.method not in ("GET", "HEAD", "OPTIONS"):
        raise Conflict(
            f"{request.path[:200]} is a node pack's, and what it is told would reach one of {len(there)} workers only, "
            "while its nodes run in any of them.",
            remedy="Start with one worker (--workers 1) to use pages of packs that change something.",
        )
    return packs.address if packs.address in there or not there else there[-1]


async def forward(request: web.Request, url: str) -> web.StreamResponse:
    """What a worker answers to the request.

    Raises:
        Unavailable: the worker is gone.
        PackSilent: its pack says nothing.
        TooLarge: a body past the limit.
    """
    services = services_of(request)
    headers = {name: value for name, value in request.headers.items() if name.lower() not in _KEPT_BACK}
    headers[SECRET_HEADER] = services.secret
    limit = services.settings.serve.max_upload_bytes
    body = _bounded(request, limit) if request.can_read_body else None
    try:
        async with request.app[_SESSION].request(
            request.method, url, params=request.query, headers=headers, data=body, allow_redirects=False
        ) as answer:
            return await _pass_on(request, answer)
    except TimeoutError as late:
        raise PackSilent(
            f"The pack behind {request.path[:200]} did not answer in {SILENT_SECONDS:.0f} s.",
            remedy="See the server's log for what it does, or switch the pack off.",
        ) from late
    except aiohttp.ClientError as broken:
        if isinstance(broken.__cause__, TooLarge):
            raise broken.__cause__ from broken
        raise Unavailable(
            f"The worker that serves {request.path[:200]} does not answer: {broken}", remedy="Try again in a moment."
        ) from broken


async def _pass_on(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    for name, value in answer.headers.items():
        if name.lower() not in _KEPT_BACK:
            response.headers.add(name, value)
    await response.prepare(request)
    try:
        async for piece in answer.content.iter_chunked(_PIECE):
            await response.write(piece)
    except (TimeoutError, aiohttp.ClientError) as broken:
        # The answer has begun: all that can be done is to end it in the middle.
        log.warning("a pack's answer to %s broke off: %r", request.path, broken)
        if request.transport is not None:
            request.transport.close()
        return response
    await response.write_eof()
    return response


async def _bounded(request: web.Request, limit: int) -> AsyncIterator[bytes]:
    """The request's body in pieces. Raises TooLarge past the limit."""
    read = 0
    async for piece in request.content.iter_chunked(_PIECE):
        read += len(piece)
        if read > limit:
            raise TooLarge(f"The body is larger than {limit >> 20} MiB.", remedy="Use --max-upload-size.")
        yield piece


async def seen_by_packs(request: web.Request, said: dict[str, Any]) -> dict[str, Any]:
    """A posted prompt after the functions of packs that want to see it; as it was where they do not answer."""
    packs = request.app[PACKS]
    if not packs.handlers:
        return said
    headers = {SECRET_HEADER: services_of(request).secret}
    session = request.app[_SESSION]
    try:
        async with asyncio.timeout(5):
            async with session.post(f"{packs.address}/-/on_prompt", json=said, headers=headers) as answer:
                changed: object = await answer.json() if answer.status == 200 else None
                return changed if is_dict(changed) else said
    except (TimeoutError, aiohttp.ClientError, ValueError) as broken:
        log.warning("packs could not see a prompt: %r", broken)
        return said

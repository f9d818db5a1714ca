"""Frames written by hand are read back by a client as the messages that they hold."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from app.server.frames import frame

SENT: list[str | bytes] = [
    "",
    "a",
    "ä" * 62,
    "x" * 125,
    "x" * 126,
    b"\0" * 127,
    "y" * 65535,
    b"z" * 65536,
    b"",
    "end",
]


@pytest.fixture
async def server() -> AsyncIterator[BaseTestServer]:
    """Says everything in one write, and the last thing in the usual way."""

    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        assert request.transport is not None
        request.transport.write(b"".join(frame(each) for each in SENT))
        await socket.send_str("by aiohttp")
        await socket.close()
        return socket

    app = web.Application()
    app.router.add_get("/", talk)
    async with TestServer(app) as made:
        yield made


async def test_every_length_and_kind_arrives_whole_and_in_order(server: BaseTestServer) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(server.make_url("/"), max_msg_size=0) as socket:
        heard = [said.data async for said in socket]
    assert heard == [*SENT, "by aiohttp"]


def test_headers() -> None:
    assert frame("hi") == b"\x81\x02hi"
    assert frame(b"hi") == b"\x82\x02hi"
    assert frame("x" * 126)[:4] == b"\x81\x7e\x00\x7e"
    assert frame(b"x" * 65536)[:10] == b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"

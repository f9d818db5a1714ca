"""Many sockets: order, routes, slow readers."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

import pytest

from app.server import hub as hub_module
from app.server.hub import Client, Hub, preview_frame
from tests.server.support import Site, ear


class Socket:
    """Takes what is sent, when it is let."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.open = asyncio.Event()
        self.closed = False

    async def send_str(self, text: str) -> None:
        await self.open.wait()
        self.sent.append(json.loads(text))

    async def send_bytes(self, content: bytes) -> None:
        await self.open.wait()
        self.sent.append(content)

    async def close(self, **_: Any) -> None:
        self.closed = True


def client(sid: str) -> tuple[Client, Any]:
    socket: Any = Socket()
    return Client(sid, socket), socket


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_messages_go_to_one_or_to_all() -> None:
    hub = Hub()
    one, first = client("1")
    two, second = client("2")
    writers = [asyncio.create_task(each.write()) for each in (one, two)]
    for each in (one, two):
        hub.add(each)
    for socket in (first, second):
        socket.open.set()
    hub.send("a", {"n": 1})
    hub.send("b", {"x": float("nan")}, "2", seq=5)
    hub.send("c", {}, "absent")
    await settle()
    assert first.sent == [{"type": "a", "data": {"n": 1}}]
    assert second.sent == [{"type": "a", "data": {"n": 1}}, {"type": "b", "data": {"x": None}, "seq": 5}]
    for writer in writers:
        writer.cancel()


async def test_a_late_goodbye_does_not_take_the_route_of_the_next_one() -> None:
    hub = Hub()
    old, _ = client("1")
    new, socket = client("1")
    hub.add(old)
    hub.add(new)
    hub.remove(old)
    writer = asyncio.create_task(new.write())
    socket.open.set()
    hub.send("a", {}, "1")
    await settle()
    assert len(socket.sent) == 1
    writer.cancel()


async def test_a_slow_reader_misses_what_newer_messages_replace_and_nothing_else() -> None:
    slow, socket = client("1")
    writer = asyncio.create_task(slow.write())
    hub = Hub()
    hub.add(slow)
    for number in range(1000):
        hub.send("progress", {"n": number}, "1")
        hub.send_preview({"image_type": "image/png"}, b"x" * 10, "1")
    hub.send("executed", {"n": "last"}, "1")
    socket.open.set()
    await asyncio.sleep(0.05)
    assert len(socket.sent) < 300
    assert socket.sent[-1] == {"type": "executed", "data": {"n": "last"}}
    writer.cancel()


async def test_who_does_not_read_at_all_is_hung_up_on() -> None:
    deaf, socket = client("1")
    hub = Hub()
    hub.add(deaf)
    for number in range(hub_module._LOST + 1):
        hub.send("executed", {"n": number}, "1")
    await asyncio.wait_for(deaf.write(), 5)
    assert socket.closed


def test_frames() -> None:
    metadata = {"image_type": "image/png", "node_id": "7"}
    assert preview_frame(metadata, b"img", with_metadata=False) == struct.pack(">II", 1, 2) + b"img"
    frame = preview_frame(metadata, b"img", with_metadata=True)
    kind, length = struct.unpack_from(">II", frame)
    assert (kind, json.loads(frame[8 : 8 + length]), frame[8 + length :]) == (4, metadata, b"img")


async def test_greetings(quiet_site: Site) -> None:
    async with ear(quiet_site, "c1") as named:
        assert named.heard[0]["data"] == {"status": {"exec_info": {"queue_remaining": 0, "paused": False}}, "sid": "c1"}
    async with ear(quiet_site, "") as unnamed:
        assert len(unnamed.heard[0]["data"]["sid"]) == 32
    async with ear(quiet_site, "c2", {"supports_preview_metadata": True}) as flagged:
        answer = await flagged.until("feature_flags")
        assert answer["data"] == await quiet_site.get("/features")


@pytest.mark.parametrize(
    "first", ["nonsense", "[]", '{"type": "feature_flags"}', '{"type": "feature_flags", "data": 5}', "[" * 9999]
)
async def test_a_first_message_that_means_nothing_does_no_harm(quiet_site: Site, first: str) -> None:
    async with quiet_site.session.ws_connect(f"{quiet_site.running.url}/ws?clientId=c1") as socket:
        await socket.send_str(first)
        await socket.send_bytes(b"\0")
        assert (await socket.receive_json())["type"] == "status"
        quiet_site.running.services.hub.send("hello", {}, "c1")
        assert (await socket.receive_json())["type"] == "hello"


async def test_two_sockets_of_one_name(quiet_site: Site) -> None:
    async with ear(quiet_site, "c1"), ear(quiet_site, "c1") as newer:
        quiet_site.running.services.hub.send("hello", {}, "c1")
        await newer.until("hello")


async def test_log_lines_go_to_those_who_asked(quiet_site: Site) -> None:
    url = f"{quiet_site.running.url}/internal/logs/subscribe"
    async with ear(quiet_site, "c1") as heard:
        async with quiet_site.session.patch(url, json={"clientId": "c1", "enabled": True}) as answer:
            assert answer.status == 200
        quiet_site.running.services.logs.add("a line")
        told = await heard.until("logs")
        assert told["data"]["entries"][0]["m"] == "a line\n"
        async with quiet_site.session.patch(url, json={"enabled": True}) as answer:
            assert answer.status == 400
    assert "a line" in (await quiet_site.get("/internal/logs"))

"""Requests for packs' routes, handed on to a worker that is silent, gone, or talks too much."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientPayloadError, ClientSession, web
from aiohttp.test_utils import make_mocked_request

from app.link.messages import Hello
from app.server import pack_proxy
from app.server.app import build_app
from app.server.pack_catalogue import PACKS
from app.server.services import SERVICES
from tests.server.support import opened

MIB = 1 << 20


class Worker:
    """The port of a worker whose packs behave as told, and what it was asked."""

    def __init__(self) -> None:
        self.heard: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.released = asyncio.Event()
        self.runner: web.AppRunner | None = None
        self.address = ""

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * MIB)
        for path in ("silent", "echo", "half", "moved", "headers"):
            app.router.add_route("*", f"/acme/{path}", getattr(self, path))
        app.router.add_post("/-/on_prompt", self.on_prompt)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    async def stop(self) -> None:
        self.released.set()
        if self.runner is not None:
            await self.runner.cleanup()

    async def silent(self, request: web.Request) -> web.Response:
        await self.released.wait()
        return web.Response(text="late")

    async def echo(self, request: web.Request) -> web.Response:
        self.heard.append(request)
        self.bodies.append(await request.read())
        return web.Response(body=self.bodies[-1], status=201)

    async def half(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        await response.write(b"begun")
        await self.released.wait()
        return response

    async def moved(self, request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/elsewhere", "X-Acme": "1", "Set-Cookie": "a=b"})

    async def headers(self, request: web.Request) -> web.Response:
        self.heard.append(request)
        return web.json_response({name.lower(): value for name, value in request.headers.items()})

    async def on_prompt(self, request: web.Request) -> web.Response:
        said: Any = await request.json()
        await asyncio.sleep(0)
        return web.json_response({"answers": [1]} if "odd" not in said else ["no object"])


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    made = Worker()
    await made.start()
    yield made
    await made.stop()


@dataclass
class Proxy:
    """A server in front of a worker, and a session to ask it with."""

    url: str
    session: ClientSession
    app: web.Application

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        async with self.session.request(method, self.url + path, allow_redirects=False, **options) as answer:
            body = await answer.read()
            return answer.status, json.loads(body) if answer.content_type == "application/json" else body


@contextlib.asynccontextmanager
async def proxied(tmp_path: Path, worker: Worker, *arguments: str) -> AsyncIterator[Proxy]:
    """A server that believes the worker's packs to answer below /acme."""
    async with opened(tmp_path, "--workers", "0", *arguments) as site:
        app = build_app(site.running.services)
        app[PACKS].learn({"routes": [["*", "/acme/{rest:.*}"]], "address": worker.address, "handlers": 1})
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield Proxy(f"http://127.0.0.1:{runner.addresses[0][1]}", site.session, app)
        finally:
            await runner.cleanup()


async def test_a_silent_handler_is_given_up(tmp_path: Path, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_proxy, "SILENT_SECONDS", 0.3)
    async with proxied(tmp_path, worker) as proxy:
        status, told = await proxy.ask("GET", "/acme/silent")
        assert status == 504
        assert told["error"]["type"] == "pack_silent"
        assert "/acme/silent" in told["error"]["message"]
        assert (await proxy.ask("GET", "/queue"))[0] == 200


async def test_the_server_waits_for_no_pack(tmp_path: Path, worker: Worker) -> None:
    async with proxied(tmp_path, worker) as proxy:
        waiting = [asyncio.create_task(proxy.ask("GET", "/acme/silent")) for _ in range(5)]
        await asyncio.sleep(0.1)
        assert (await proxy.ask("GET", "/queue"))[0] == 200
        assert not any(task.done() for task in waiting)
        worker.released.set()
        assert {await task for task in waiting} == {(200, b"late")}


async def test_an_answer_that_stops_in_the_middle_breaks_off(
    tmp_path: Path, worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pack_proxy, "SILENT_SECONDS", 0.3)
    async with proxied(tmp_path, worker) as proxy:
        with pytest.raises(ClientPayloadError):
            await proxy.ask("GET", "/acme/half")
        assert "broke off" in caplog.text


@pytest.mark.parametrize(("size", "status"), [(MIB - 1, 201), (MIB + 1, 413)])
@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_are_bounded(tmp_path: Path, worker: Worker, size: int, status: int, chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, size, 1 << 16):
            yield b"x" * min(1 << 16, size - start)

    async with proxied(tmp_path, worker, "--max-upload-size", "1") as proxy:
        data = pieces() if chunked else io.BytesIO(b"x" * size)
        answered, told = await proxy.ask("POST", "/acme/echo", data=data)
        assert answered == status
        if status == 413:
            assert "1 MiB" in told["error"]["message"] and worker.bodies == []
        else:
            assert told == b"x" * size == worker.bodies[0]


async def test_a_worker_that_is_gone_is_told(tmp_path: Path, worker: Worker) -> None:
    async with proxied(tmp_path, worker) as proxy:
        assert (await proxy.ask("GET", "/acme/headers"))[0] == 200
        await worker.stop()
        status, told = await proxy.ask("GET", "/acme/headers")
        assert status == 503
        assert "does not answer" in told["error"]["message"]


async def test_what_is_said_to_whom(tmp_path: Path, worker: Worker) -> None:
    sent = {"Authorization": "Bearer t", "Cookie": "a=b", "X-Loom-Packs": "forged", "X-Acme": "kept", "TE": "trailers"}
    async with proxied(tmp_path, worker) as proxy:
        status, heard = await proxy.ask("GET", "/acme/headers?x=1&x=2", headers=sent)
        assert status == 200
        assert heard["x-acme"] == "kept"
        assert heard["x-loom-packs"] != "forged"
        assert {"authorization", "cookie", "te"}.isdisjoint(heard)
        assert worker.heard[0].query.getall("x") == ["1", "2"]
        async with proxy.session.get(proxy.url + "/acme/moved", allow_redirects=False) as moved:
            assert (moved.status, moved.headers["Location"], moved.headers["X-Acme"]) == (302, "/elsewhere", "1")
            assert "Set-Cookie" not in moved.headers


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_every_method_reaches_the_pack(tmp_path: Path, worker: Worker, method: str, prefix: str) -> None:
    async with proxied(tmp_path, worker) as proxy:
        status, body = await proxy.ask(method, f"{prefix}/acme/echo", data=b"" if method == "GET" else b"said")
        assert (status, worker.heard[0].method) == (201, method)
        assert body == (b"" if method == "GET" else b"said")


async def test_prompts_seen_by_packs_stay_objects(tmp_path: Path, worker: Worker) -> None:
    async with proxied(tmp_path, worker) as proxy:
        request: Any = make_mocked_request("POST", "/prompt", app=proxy.app)
        assert await pack_proxy.seen_by_packs(request, {"prompt": {}}) == {"answers": [1]}
        assert await pack_proxy.seen_by_packs(request, {"odd": 1}) == {"odd": 1}
        proxy.app[PACKS].learn({"address": worker.address, "handlers": 0})
        assert await pack_proxy.seen_by_packs(request, {"prompt": {}}) == {"prompt": {}}
        proxy.app[PACKS].learn({"address": "http://127.0.0.1:9", "handlers": 1})
        assert await pack_proxy.seen_by_packs(request, {"prompt": {}}) == {"prompt": {}}


class Quiet:
    """A connection to a worker that hears nothing."""

    async def send(self, *messages: Any) -> None:
        """Nobody listens."""

    async def close(self) -> None:
        """Nothing to hang up."""


async def test_of_several_workers_packs_are_only_asked(tmp_path: Path, worker: Worker) -> None:
    async with proxied(tmp_path, worker) as proxy:
        dispatcher = proxy.app[SERVICES].dispatcher
        assert (await proxy.ask("POST", "/acme/echo", data=b"x"))[0] == 201
        dispatcher.joined(Quiet(), Hello(process_id=1, packs={"address": "http://127.0.0.1:9"}))
        other = dispatcher.joined(Quiet(), Hello(process_id=2, packs={"address": worker.address}))
        status, told = await proxy.ask("POST", "/acme/echo", data=b"x")
        assert (status, told["error"]["type"]) == (409, "conflict")
        assert "one of 2 workers" in told["error"]["message"] and "--workers 1" in told["error"]["remedy"]
        assert (await proxy.ask("GET", "/acme/echo"))[0] == 201
        # The worker that told its packs last has gone: another one answers.
        proxy.app[PACKS].learn({"routes": [["*", "/acme/{rest:.*}"]], "address": "http://127.0.0.1:9"})
        first = next(each for each in dispatcher.workers.values() if each is not other)
        del dispatcher.workers[first.id]
        assert (await proxy.ask("POST", "/acme/echo", data=b"x"))[0] == 201
        dispatcher.workers.clear()


async def test_a_socket_of_a_packs_own_is_refused_by_name(tmp_path: Path, worker: Worker) -> None:
    async with proxied(tmp_path, worker) as proxy:
        headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
        status, told = await proxy.ask("GET", "/acme/echo", headers=headers)
        assert (status, told["error"]["type"]) == (501, "socket_of_pack")
        assert "send_sync" in told["error"]["remedy"]

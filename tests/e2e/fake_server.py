"""A server for tests of the editor: scripted runs, no engine. It sends what the real one sends, in the same order."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

ROOT = Path(__file__).parent.parent.parent
WEB = ROOT / "web"
POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)


class FakeServer:
    """Serves the editor and runs prompts by pretending. Change its fields to change what happens."""

    def __init__(self) -> None:
        self.catalogue: dict[str, Any] = json.loads((ROOT / "tests/web/core/catalogue.json").read_text())
        self.refusal: dict[str, Any] | None = None
        self.failure = ""
        self.blamed: str | None = None  # the input that a failure is about
        self.step_seconds = 0.02
        self.port = 0
        self.submitted: list[dict[str, Any]] = []
        self.interrupted: list[str] = []
        self.foreign: list[str] = []
        self.userdata: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {"cat.png": picture(0), "dog.png": picture(60)}
        self.history: dict[str, Any] = {}
        self._sockets: dict[str, web.WebSocketResponse] = {}
        self._runs: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        """Where the editor is."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> FakeServer:
        """Listen on a free port."""
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def stop(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def drop_sockets(self) -> None:
        """Cut every connection, as a restart does."""
        asyncio.run_coroutine_threadsafe(self._close_sockets(), self._loop).result(10)

    def say(self, kind: str, data: Mapping[str, Any]) -> None:
        """Send a message to every client."""
        asyncio.run_coroutine_threadsafe(self._send(kind, data), self._loop).result(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._loop.run_forever()
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()

    async def _listen(self) -> None:
        app = web.Application(client_max_size=2**26)
        app.add_routes([web.get("/ws", self._socket), *self._api("/api"), web.get("/{path:.*}", self._asset)])
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._ready.set()

    def _api(self, at: str) -> list[web.RouteDef]:
        return [
            web.get(f"{at}/object_info", self._object_info),
            web.post(f"{at}/prompt", self._prompt),
            web.post(f"{at}/interrupt", self._interrupt),
            web.get(f"{at}/queue", self._queue),
            web.post(f"{at}/queue", self._nothing),
            web.get(f"{at}/history", self._history),
            web.get(f"{at}/history/{{id}}", self._history),
            web.post(f"{at}/history", self._nothing),
            web.get(f"{at}/view", self._view),
            web.post(f"{at}/upload/image", self._upload),
            web.get(f"{at}/userdata", self._userdata_list),
            web.get(f"{at}/userdata/{{file:.+}}", self._userdata_get),
            web.post(f"{at}/userdata/{{file:.+}}", self._userdata_post),
        ]

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        path = WEB / (request.match_info["path"] or "index.html")
        if not path.is_file():
            return web.Response(status=404)
        return web.FileResponse(path, headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"})

    async def _object_info(self, _: web.Request) -> web.Response:
        return web.json_response(self.catalogue)

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        client = request.query["clientId"]
        self._sockets[client] = socket
        await socket.send_json({"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}}})
        async for _ in socket:
            pass
        if self._sockets.get(client) is socket:
            del self._sockets[client]
        return socket

    async def _close_sockets(self) -> None:
        for socket in list(self._sockets.values()):
            await socket.close()

    async def _prompt(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.submitted.append(body)
        if self.refusal is not None:
            return web.json_response(self.refusal, status=400)
        run = asyncio.ensure_future(self._run(body))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)
        return web.json_response({"prompt_id": body["prompt_id"], "number": 0, "node_errors": {}})

    async def _run(self, body: dict[str, Any]) -> None:
        job, prompt = body["prompt_id"], body["prompt"]
        await self._send("execution_start", {"prompt_id": job, "timestamp": 1000})
        await self._send("execution_cached", {"prompt_id": job, "nodes": []})
        outputs: dict[str, Any] = {}
        ending: tuple[str, dict[str, Any]] = ("execution_success", {})
        for node, entry in prompt.items():
            await self._send("executing", {"prompt_id": job, "node": node, "display_node": node})
            if self.failure and entry["class_type"] == "KSampler":
                told = {"node_id": node, "node_type": "KSampler", "exception_message": self.failure}
                told |= {"exception_type": "ValueError", "input_name": self.blamed}
                ending = ("execution_error", told)
                break
            if entry["class_type"] == "KSampler":
                await self._steps(job, node, entry["inputs"]["steps"])
            if entry["class_type"] == "SaveImage":
                outputs[node] = await self._save(body, node)
            if job in self.interrupted:
                ending = ("execution_interrupted", {"node_id": node})
                break
        kind, data = ending
        await self._send(kind, {"prompt_id": job, "timestamp": 2000, **data})
        messages = [["execution_start", {"timestamp": 1000}], [kind, {"timestamp": 2000, **data}]]
        status = {"status_str": "success", "completed": kind == "execution_success", "messages": messages}
        item = [0, job, prompt, body["extra_data"], []]
        self.history[job] = {"prompt": item, "outputs": outputs, "status": status}
        await self._send("executing", {"prompt_id": job, "node": None})

    async def _steps(self, job: str, node: str, steps: int) -> None:
        for step in range(1, steps + 1):
            await asyncio.sleep(self.step_seconds)
            await self._send("progress", {"prompt_id": job, "node": node, "value": step, "max": steps})
            meta = {"node_id": node, "display_node_id": node, "prompt_id": job, "image_type": "image/png"}
            head = json.dumps(meta).encode()
            for socket in self._sockets.values():
                await socket.send_bytes(struct.pack(">II", 4, len(head)) + head + picture(step))
            if job in self.interrupted:
                return

    async def _save(self, body: dict[str, Any], node: str) -> dict[str, Any]:
        name = f"LatentLoom_{len(self.files):05}_.png"
        texts = {"prompt": body["prompt"], **body["extra_data"]["extra_pnginfo"]}
        self.files[name] = picture(len(self.files) * 40, texts)
        output = {"images": [{"filename": name, "subfolder": "", "type": "output"}]}
        await self._send("executed", {"prompt_id": body["prompt_id"], "node": node, "output": output})
        return output

    async def _send(self, kind: str, data: Mapping[str, Any]) -> None:
        for socket in list(self._sockets.values()):
            if not socket.closed:
                await socket.send_json({"type": kind, "data": data})

    async def _interrupt(self, request: web.Request) -> web.Response:
        self.interrupted.append((await request.json())["prompt_id"])
        return web.Response()

    async def _queue(self, _: web.Request) -> web.Response:
        return web.json_response({"queue_running": [], "queue_pending": []})

    async def _nothing(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _history(self, request: web.Request) -> web.Response:
        job = request.match_info.get("id")
        return web.json_response(
            self.history if job is None else {job: self.history[job]} if job in self.history else {}
        )

    async def _view(self, request: web.Request) -> web.Response:
        found = self.files.get(request.query["filename"])
        return web.Response(status=404) if found is None else web.Response(body=found, content_type="image/png")

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        field = form["image"]
        assert isinstance(field, web.FileField)
        self.files[field.filename] = field.file.read()
        return web.json_response({"name": field.filename, "subfolder": "", "type": "input"})

    async def _userdata_list(self, _: web.Request) -> web.Response:
        names = [name.removeprefix("workflows/") for name in self.userdata]
        return web.json_response([{"path": name, "size": 1, "modified": 0} for name in names])

    async def _userdata_get(self, request: web.Request) -> web.Response:
        return web.Response(body=self.userdata[request.match_info["file"]])

    async def _userdata_post(self, request: web.Request) -> web.Response:
        self.userdata[request.match_info["file"]] = await request.read()
        return web.json_response(request.match_info["file"])


def picture(shade: int, texts: Mapping[str, Any] | None = None) -> bytes:
    """A 64 pixel PNG of a disc, with JSON texts inside."""
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).ellipse((12, 12, 52, 52), fill=(220, shade % 256, 40))
    info = PngInfo()
    for name, value in (texts or {}).items():
        info.add_text(name, json.dumps(value))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()

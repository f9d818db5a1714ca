"""Whatever is sent to whichever route, over HTTP or a socket: never a 5xx, and the server goes on answering."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from app.graph.spec import spec_to_json
from app.link.messages import Hello, encode
from app.server.app import build_app
from tests.server.fake_worker import SPECS
from tests.server.hosted import Hosted
from tests.server.support import PATIENCE

# The library says in a warning what the client is told with a 400.
pytestmark = [
    pytest.mark.filterwarnings("ignore::aiohttp.BadContentDispositionHeader"),
    pytest.mark.filterwarnings("ignore::aiohttp.BadContentDispositionParam"),
]
NASTY = [
    "", ".", "..", "../x", "%00", "a\0b", "\\", "C:\\x", "/etc/passwd", "x" * 2000, "\ud800", "💥", "-1", "1e999",
    "null", "NaN", "[]", "{}", "true", "a [output]", "con", "1;2;3", "webp;-5", "jpeg;99999999999999999999",
    "\r\nX: y", "#", "?", "9" * 400, "a/../b", "workflows/a.json", "comfy.settings.json", "j1", "../../loom.sqlite",
    "checkpoints", "output",
]  # fmt: skip
NAMES = [
    "prompt", "prompt_id", "client_id", "extra_data", "number", "front", "urgency", "partial_execution_targets",
    "clear", "delete", "job_ids", "to", "before", "after", "unload_models", "free_memory", "clientId", "enabled",
    "inputs", "class_type", "a", "1", "filename", "type", "subfolder", "preview", "channel", "since", "limit",
    "offset", "status", "sort_by", "max_items", "dir", "path", "recurse", "full_info", "overwrite", "name",
    "workflow", "nodes", "links",
]  # fmt: skip
TEXTS = st.sampled_from(NASTY) | st.text(max_size=20)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.sampled_from(["Show", "Pick", "Work"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | TEXTS, inner, max_size=5),
    max_leaves=15,
)
BODIES = VALUES | st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1, max_size=6)
KINDS = st.sampled_from(
    ["application/json", "text/plain", "multipart/form-data; boundary=x", "multipart/mixed", "a/b", ""]
)
FEW = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


class Host(Hosted):
    """A server without workers that knows nodes, so that plain functions can be fuzzed against it."""

    def __init__(self, base: Path) -> None:
        super().__init__(base, "--workers", "0", "--max-upload-size", "1")
        self.site.running.services.catalogue.learn(tuple(spec_to_json(spec) for spec in SPECS))
        app = build_app(self.site.running.services)
        self.routes = sorted(
            {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource is not None}
        )

    async def ask(self, method: str, path: str, body: Any, query: dict[str, str], headers: dict[str, str]) -> int:
        url = URL(self.site.running.url).with_path(path).with_query(query)
        sent: dict[str, Any] = {"data": body} if isinstance(body, bytes | str) else {"json": body}
        async with asyncio.timeout(PATIENCE), self.site.session.request(method, url, headers=headers, **sent) as answer:
            if answer.content_type != "text/event-stream":
                await answer.read()
            return answer.status


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    made = Host(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.close()


def sendable(text: str) -> str:
    """As much of a text as an address or a header can carry."""
    return text.encode("utf-8", "replace").decode()


@settings(FEW, max_examples=500)
@given(st.data())
def test_no_request_is_too_strange(host: Host, data: st.DataObject) -> None:
    method, template = host.routes[data.draw(st.integers(0, len(host.routes) - 1))]
    path = re.sub(r"\{[^}]*\}", lambda _: sendable(data.draw(TEXTS)) or "x", template)
    body = data.draw(BODIES | st.binary(max_size=200))
    query = data.draw(st.dictionaries(st.sampled_from(NAMES), TEXTS.map(sendable), max_size=4))
    headers = {"Content-Type": data.draw(KINDS)} if isinstance(body, bytes) else {}
    status = host.do(host.ask(method if method != "*" else "GET", path, body, query, headers))
    off = template.startswith(("/api/assets", "/api/tags"))
    assert status < 500 or (off and status == 503), (method, path, body)


@FEW
@given(st.lists(BODIES | st.text(max_size=50) | st.binary(max_size=50), min_size=1, max_size=4), TEXTS)
def test_no_socket_message_is_too_strange(host: Host, messages: list[Any], client: str) -> None:
    async def talk() -> None:
        url = URL(host.site.running.url).with_path("/ws").with_query(clientId=sendable(client))
        async with host.site.session.ws_connect(url) as socket:
            assert (await socket.receive_json())["type"] == "status"
            for message in messages:
                if isinstance(message, bytes):
                    await socket.send_bytes(message)
                elif isinstance(message, str):
                    await socket.send_str(sendable(message))
                else:
                    await socket.send_json(message)
        assert await host.site.get("/prompt")

    host.do(talk())


@FEW
@given(st.lists(BODIES | st.text(max_size=50) | st.binary(max_size=50), min_size=1, max_size=4), st.booleans())
def test_no_worker_message_is_too_strange(host: Host, messages: list[Any], introduced: bool) -> None:
    async def talk() -> None:
        secret = {"Authorization": f"Bearer {host.site.running.services.secret}"}
        url = f"{host.site.running.url}/link"
        async with host.site.session.ws_connect(url, headers=secret) as socket:
            if introduced:
                await socket.send_str(encode(Hello(specs=tuple(spec_to_json(spec) for spec in SPECS))))
                await socket.receive()
            for message in messages:
                if socket.closed:
                    break
                if isinstance(message, bytes):
                    await socket.send_bytes(message)
                elif isinstance(message, str):
                    await socket.send_str(sendable(message))
                else:
                    kind = {"kind": "event", "job_id": "j", "token": 1, "event": message}
                    await socket.send_json(kind if introduced else message)
        assert await host.site.get("/prompt")

    host.do(talk())


def test_the_server_is_as_it_was(host: Host) -> None:
    """After all that it still takes a graph."""

    async def check() -> None:
        graph = {"1": {"class_type": "Show", "inputs": {"text": "a"}}}
        assert (await host.site.post("/prompt", {"prompt": graph}))["prompt_id"]
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await host.site.session.ws_connect(f"{host.site.running.url}/link")

    host.do(check())

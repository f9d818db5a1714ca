"""Every route that serves local users answers, under both its paths, as clients of the reference expect."""

from __future__ import annotations

import base64
import io
import json
import re
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image

from app.graph.spec import spec_to_json
from app.server.app import build_app
from app.server.pack_catalogue import PACKS
from tests.server.conforms import faults
from tests.server.fake_worker import SPECS
from tests.server.support import opened

Client = TestClient[Any, Any]
Json = Any
FILE = {"path": str, "size": int, "modified": float, "created": float}
LEAF = {"name": str, "path": str, "type": str}
FEATURES = {"supports_preview_metadata": bool, "max_upload_size": int, "node_replacements": bool, "assets": bool}
DEVICE_KEYS = {"os", "ram_total", "ram_free", "comfyui_version", "python_version", "pytorch_version", "argv"}


def picture(mode: str = "RGB") -> bytes:
    target = io.BytesIO()
    Image.new(mode, (8, 4), (255, 0, 0, 128)[: len(mode)]).save(target, "PNG")
    return target.getvalue()


def safetensors(**metadata: str) -> bytes:
    header = json.dumps({"__metadata__": metadata}).encode()
    return struct.pack("<Q", len(header)) + header


def furnish(base: Path) -> None:
    """Files of every kind that routes serve."""
    cover = json.dumps([base64.b64encode(picture()).decode()])
    files: dict[str, bytes] = {
        "models/checkpoints/a.safetensors": safetensors(author="me"),
        "models/checkpoints/a.png": picture(),
        "models/loras/inner/b.safetensors": safetensors(ssmd_cover_images=cover),
        "models/loras/bad.safetensors": safetensors(ssmd_cover_images='["%%%"]'),
        "models/loras/none.safetensors": safetensors(),
        "models/embeddings/good.pt": b"",
        "output/out.png": picture("RGBA"),
        "temp/look.png": picture(),
        "input/in.png": picture(),
        "user/default/workflows/mine.json": b"{}",
        "user/default/workflows/deep/other.json": b"{}",
        "user/default/user.css": b"body { color: red }",
        "packs/acme/subgraphs/twice.json": b'{"nodes": []}',
        "packs/acme/example_workflows/start.json": b"{}",
        "packs/acme/locales/de/main.json": b'{"a": "b"}',
        "packs/acme/web/acme.js": b"1",
    }
    for name, content in files.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("routes")
    furnish(base)
    return base


@pytest.fixture
async def client(furnished: Path) -> AsyncIterator[Client]:
    """A server that knows nodes and a pack, without workers."""
    async with opened(furnished, "--workers", "0") as site:
        site.running.services.catalogue.learn(tuple(spec_to_json(spec) for spec in SPECS))
        app = build_app(site.running.services)
        pack = furnished / "packs" / "acme"
        app[PACKS].learn({"packs": [{"name": "acme", "path": str(pack), "web": ["acme", str(pack / "web")]}]})
        async with TestClient(TestServer(app)) as made:
            yield made


# What is asked, and the type of the answer.
SHAPES: list[tuple[str, Any]] = [
    ("/prompt", dict[str, dict[str, Any]]),
    ("/queue", dict[str, Any]),
    ("/history", dict[str, Any]),
    ("/history?max_items=5&offset=0", dict[str, Any]),
    ("/history/unknown", dict[str, Any]),
    ("/jobs", dict[str, Any]),
    ("/jobs?status=pending,completed&limit=2&offset=1&sort_order=asc", dict[str, Any]),
    ("/events", dict[str, Any]),
    ("/object_info", dict[str, dict[str, Any]]),
    ("/object_info/Show", dict[str, dict[str, Any]]),
    ("/models", list[str]),
    ("/models/checkpoints", list[str]),
    ("/embeddings", list[str]),
    ("/view_metadata/checkpoints?filename=a.safetensors", dict[str, str]),
    ("/experiment/models", list[dict[str, Any]]),
    ("/experiment/models/loras", list[dict[str, Any]]),
    ("/extensions", list[str]),
    ("/workflow_templates", dict[str, list[str]]),
    ("/i18n", dict[str, dict[str, Any]]),
    ("/system_stats", dict[str, Any]),
    ("/features", dict[str, Any]),
    ("/node_replacements", dict[str, list[dict[str, Any]]]),
    ("/global_subgraphs", dict[str, dict[str, Any]]),
    ("/users", dict[str, Any]),
    ("/settings", dict[str, Any]),
    ("/settings/unset", type(None)),
    ("/userdata?dir=workflows", list[str]),
    ("/userdata?dir=workflows&recurse=true&split=true", list[list[str]]),
    ("/userdata?dir=workflows&full_info=true", list[dict[str, Any]]),
    ("/v2/userdata", list[dict[str, Any]]),
    ("/packs", dict[str, Any]),
    ("/workflows", dict[str, Any]),
    ("/templates", list[str]),
    ("/templates/index.json", list[dict[str, Any]]),
    ("/templates/index.de.json", list[dict[str, Any]]),
    ("/templates/index_logo.json", dict[str, str]),
    ("/templates/default.json", dict[str, Any]),
]
EQUAL: list[tuple[str, Json]] = [
    ("/prompt", {"exec_info": {"queue_remaining": 0, "paused": False}}),
    ("/models/loras", ["bad.safetensors", "inner/b.safetensors", "none.safetensors"]),
    ("/embeddings", ["good"]),
    ("/view_metadata/checkpoints?filename=a.safetensors", {"author": "me"}),
    ("/userdata?dir=workflows", ["mine.json"]),
    ("/userdata?dir=workflows&recurse=true", ["mine.json", "deep/other.json"]),
    (
        "/userdata?dir=workflows&recurse=true&split=true",
        [["mine.json", "mine.json"], ["deep/other.json", "deep", "other.json"]],
    ),
    ("/extensions", ["/extensions/acme/acme.js"]),
    ("/workflow_templates", {"acme": ["start"]}),
    ("/i18n", {"de": {"a": "b"}}),
    ("/users", {"storage": "server", "migrated": True}),
    ("/templates", ["default", "draw_over", "part_of_a_picture", "compare_guidance"]),
]  # fmt: skip
CONTENT: list[tuple[str, str, str]] = [
    ("/view?filename=out.png", "image/png", "RGBA"),
    ("/view?filename=in.png&type=input", "image/png", "RGB"),
    ("/view?filename=look.png%20[temp]", "image/png", "RGB"),
    ("/view?filename=out.png&channel=rgb", "image/png", "RGB"),
    ("/view?filename=out.png&channel=a", "image/png", "RGBA"),
    ("/view?filename=out.png&preview=webp;50", "image/webp", "RGBA"),
    ("/view?filename=out.png&preview=jpeg;50&channel=rgb", "image/jpeg", "RGB"),
    ("/view?filename=out.png&preview=odd", "image/webp", "RGBA"),
    ("/experiment/models/preview/checkpoints/0/a.safetensors", "image/webp", "RGB"),
    ("/experiment/models/preview/loras/0/inner/b.safetensors", "image/webp", "RGB"),
]
REFUSED: list[tuple[str, str, Json, int]] = [
    ("GET", "/view", None, 404),
    ("GET", "/view?filename=absent.png", None, 404),
    ("GET", "/view?filename=../x.png", None, 400),
    ("GET", "/view?filename=out.png&type=models", None, 400),
    ("GET", "/view?filename=out.png&subfolder=../..", None, 403),
    ("GET", "/models/nothing", None, 404),
    ("GET", "/experiment/models/nothing", None, 404),
    ("GET", "/experiment/models/preview/loras/0/none.safetensors", None, 404),
    ("GET", "/experiment/models/preview/loras/0/bad.safetensors", None, 400),
    ("GET", "/experiment/models/preview/loras/9/none.safetensors", None, 404),
    ("GET", "/experiment/models/preview/loras/0/../../../user/loom.sqlite", None, 404),
    ("GET", "/view_metadata/checkpoints?filename=a.png", None, 404),
    ("GET", "/global_subgraphs/nothing", None, 404),
    ("GET", "/jobs/unknown", None, 404),
    ("GET", "/jobs?limit=0", None, 400),
    ("GET", "/jobs?status=odd", None, 400),
    ("GET", "/history?max_items=abc", None, 400),
    ("GET", "/userdata", None, 400),
    ("GET", "/userdata?dir=absent", None, 404),
    ("GET", "/userdata/absent.json", None, 404),
    ("DELETE", "/userdata/absent.json", None, 404),
    ("POST", "/userdata/absent.json/move/b.json", None, 404),
    ("POST", "/userdata/workflows%2Fmine.json?overwrite=false", {}, 409),
    ("POST", "/users", {"username": "x"}, 400),
    ("POST", "/prompt", {}, 400),
    ("POST", "/prompt", {"prompt": {}}, 400),
    ("POST", "/prompt", [], 400),
    ("POST", "/queue", [], 400),
    ("POST", "/jobs/cancel", {}, 400),
    ("POST", "/upload/image", {}, 400),
    ("GET", "/templates/absent.json", None, 404),
    ("GET", "/templates/x.png", None, 404),
]
EMPTY: list[tuple[str, str, Json]] = [
    ("POST", "/interrupt", None),
    ("POST", "/interrupt", {"prompt_id": "unknown"}),
    ("POST", "/free", {"unload_models": True, "free_memory": True}),
    ("POST", "/queue", {"clear": True}),
    ("POST", "/queue", {"delete": ["unknown"]}),
    ("POST", "/history", {"clear": True}),
    ("POST", "/history", {"delete": ["unknown"]}),
    ("POST", "/settings", {"a": 1}),
    ("POST", "/settings/b", [1]),
    ("OPTIONS", "/prompt", None),
]


async def test_answers_have_their_shapes(client: Client) -> None:
    for path, kind in SHAPES:
        for twin in (path, f"/api{path}"):
            answer = await client.get(twin)
            assert (answer.status, answer.content_type) == (200, "application/json"), (twin, await answer.text())
            assert faults(await answer.json(), kind) == [], twin


async def test_answers_are_what_is_there(client: Client) -> None:
    for path, expected in EQUAL:
        assert await (await client.get(f"/api{path}")).json() == expected, path


async def test_content_is_of_its_kind(client: Client) -> None:
    for path, kind, mode in CONTENT:
        for twin in (path, f"/api{path}"):
            answer = await client.get(twin)
            assert (answer.status, answer.content_type) == (200, kind), (twin, await answer.text("latin-1"))
            assert Image.open(io.BytesIO(await answer.read())).mode == mode, twin
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_refusals_say_why(client: Client) -> None:
    for method, path, body, status in REFUSED:
        for twin in (path, f"/api{path}"):
            answer = await client.request(method, twin, **({} if body is None else {"json": body}))
            told = await answer.json()
            assert answer.status == status, (method, twin, told)
            assert told["error"]["message"], twin
            assert told["node_errors"] == {}, twin


async def test_commands_are_answered_with_nothing(client: Client) -> None:
    for method, path, body in EMPTY:
        for twin in (path, f"/api{path}"):
            answer = await client.request(method, twin, **({} if body is None else {"json": body}))
            assert (answer.status, await answer.read()) == (200, b""), twin
    assert (await (await client.get("/settings")).json()) == {"a": 1, "b": [1]}


async def test_every_route_of_the_api_has_its_twin(client: Client) -> None:
    app = client.server.app  # type: ignore[attr-defined]
    known = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
    bare = re.compile(r"/(internal|login|link|extensions|openapi|templates|\{path\}|$)")
    assert {path for method, path in known if not path.startswith("/api") and (method, f"/api{path}") not in known
            and not bare.match(path)} == set()  # fmt: skip


async def test_user_files_come_and_go(client: Client) -> None:
    told = await (await client.post("/api/userdata/notes%2Fa.txt?full_info=true", data=b"hello")).json()
    assert {name: type(told[name]) for name in FILE} == FILE
    assert await (await client.post("/api/userdata/notes%2Fa.txt", data=b"again")).json() == "notes/a.txt"
    moved = await client.post("/api/userdata/notes%2Fa.txt/move/notes%2Fb.txt")
    assert await moved.json() == "notes/b.txt"
    assert await (await client.get("/api/userdata/notes%2Fb.txt")).read() == b"again"
    leaves = await (await client.get("/api/v2/userdata?path=notes")).json()
    assert [(leaf["name"], leaf["path"], leaf["type"]) for leaf in leaves] == [("b.txt", "notes/b.txt", "file")]
    assert (await client.delete("/api/userdata/notes%2Fb.txt")).status == 204
    for path in ("/user.css", "/api/userdata/user.css"):
        answer = await client.get(path)
        assert (answer.content_type, await answer.text()) == ("text/css", "body { color: red }")


async def test_published_subgraphs(client: Client) -> None:
    ((key, told),) = (await (await client.get("/api/global_subgraphs")).json()).items()
    assert (told["name"], told["source"], told["info"]["node_pack"]) == ("twice", "custom_node", "custom_nodes.acme")
    assert "data" not in told
    one = await (await client.get(f"/api/global_subgraphs/{key}")).json()
    assert json.loads(one["data"]) == {"nodes": []}


async def test_the_machine_and_its_features(client: Client) -> None:
    stats = await (await client.get("/api/system_stats")).json()
    assert set(stats["system"]) >= DEVICE_KEYS
    features = await (await client.get("/api/features")).json()
    assert {name: type(features[name]) for name in FEATURES} == FEATURES


async def test_what_only_editors_ask(client: Client) -> None:
    lines = await (await client.get("/internal/logs/raw")).json()
    assert set(lines) == {"entries", "size"}
    assert isinstance(await (await client.get("/internal/logs")).json(), str)
    assert "checkpoints" in await (await client.get("/internal/folder_paths")).json()
    assert await (await client.get("/internal/files/output")).json() == ["out.png"]
    assert (await client.get("/internal/files/elsewhere")).status == 400
    told = {"clientId": "me", "enabled": True}
    assert (await client.patch("/internal/logs/subscribe", json=told)).status == 200
    assert (await client.patch("/internal/logs/subscribe", json={"enabled": True})).status == 400


async def test_a_new_user_has_an_empty_style_sheet(tmp_path: Path) -> None:
    async with opened(tmp_path, "--workers", "0") as site:
        for path in ("/user.css", "/api/user.css", "/api/userdata/user.css"):
            async with site.session.get(site.running.url + path) as answer:
                assert (answer.status, answer.content_type, await answer.read()) == (200, "text/css", b"")

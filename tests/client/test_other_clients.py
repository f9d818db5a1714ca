"""Clients that others published for ComfyUI, unchanged, against this server."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import comfy_toolkit
import pytest
import websocket
from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper
from PIL import Image

from tests.server.hosted import Hosted
from tests.server.support import show

WORK: dict[str, Any] = {
    "1": {"class_type": "Work", "inputs": {"steps": 3, "seconds": 0.0}, "_meta": {"title": "Work"}},
    "2": {**show("drawn", ["1", 0]), "_meta": {"title": "Show"}},
}


def test_comfy_toolkit(host: Hosted, tmp_path: Path) -> None:
    client = comfy_toolkit.ComfyClient(host.url)
    assert client.is_online()
    steps: list[tuple[int, int]] = []
    told = client.submit_and_track(WORK, on_progress=lambda done, of: steps.append((done, of)))
    assert steps[-1] == (3, 3)
    assert client.download(told["images"][0]) == b"picture drawn"
    assert client.save(told["images"][0], tmp_path / "a.png").read_bytes() == b"picture drawn"
    assert client.wait(client.submit(WORK), poll_interval=0.05)["status"] == "completed"
    assert client.queue_status() == {"running": 0, "pending": 0}
    assert client.vram_stats()["name"] == "cpu"
    with pytest.raises(comfy_toolkit.ComfyToolkitError):
        client.submit({"1": {"class_type": "Nothing", "inputs": {}}})


def test_comfy_api_simplified(host: Hosted, tmp_path: Path) -> None:
    client = ComfyApiWrapper(host.url)
    graph = ComfyWorkflowWrapper({"2": {**show("mine"), "_meta": {"title": "Show"}}})
    graph.set_node_param("Show", "text", "changed")
    pictures = client.queue_and_wait_images(graph, "Show")
    assert list(pictures.values()) == [b"picture changed"]
    assert set(client.get_object_info("Show")) == {"Show"}
    assert client.get_embeddings() == []
    assert client.get_queue()["queue_running"] == []
    picture = tmp_path / "small.png"
    Image.new("RGB", (2, 2)).save(picture)
    assert client.upload_image(str(picture))["name"] == "small.png"
    client.interrupt()


def test_the_websocket_recipe_that_scripts_copy(host: Hosted) -> None:
    """A socket of websocket-client, posts of urllib without a content type of its own: the commonest script."""
    address = host.url.removeprefix("http://")
    socket = websocket.WebSocket()
    socket.connect(f"ws://{address}/ws?clientId=script")
    body = json.dumps({"prompt": WORK, "client_id": "script"}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{host.url}/prompt", data=body)) as answer:
        job = json.loads(answer.read())["prompt_id"]
    frames = 0
    while True:
        said = socket.recv()
        if isinstance(said, bytes):
            frames += 1
            continue
        message = json.loads(said)
        if message["type"] == "executing" and message["data"]["node"] is None:
            assert message["data"]["prompt_id"] == job
            break
    socket.close()
    assert frames > 0
    with urllib.request.urlopen(f"{host.url}/history/{job}") as answer:
        (image,) = json.loads(answer.read())[job]["outputs"]["2"]["images"]
    query = {name: image[name] for name in ("filename", "subfolder", "type")}
    with urllib.request.urlopen(f"{host.url}/view?{urllib.parse.urlencode(query)}") as answer:
        assert answer.read() == b"picture drawn"

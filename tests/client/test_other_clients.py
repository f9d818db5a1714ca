"""Clients that others published for ComfyUI, unchanged, against this server."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import comfy_toolkit
import pytest
import websocket
from aiohttp import web
from comfy_api_proxy.app import make_app
from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper
from comfy_headless.client import ComfyClient
from comfy_sdk import Comfy, Job, Workflow
from comfy_sdk.exceptions import InvalidWorkflow
from PIL import Image

from app.client import Client
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


@pytest.fixture
def second_interface(host: Hosted, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The proxy that puts ComfyUI's second interface before a server; the address of it."""

    async def start() -> web.AppRunner:
        runner = web.AppRunner(make_app(host.url), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = host.do(start())
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    monkeypatch.setenv("COMFY_BASE_URL", address)
    yield address
    host.do(runner.cleanup())


def ended(host: Hosted, client: Comfy, graph: Workflow) -> Job:
    """A job of the SDK's that has ended. The proxy asks for the history and then for the queue: a job that ends in
    between is lost to it, with any server, so nothing is asked while it runs."""
    ours = Client(host.url)
    ours.pause()
    job = client.submit(graph)
    ours.resume()
    ours.wait(job.id, 30)
    return job.wait(timeout=30)


def test_the_official_sdk_through_the_official_proxy(host: Hosted, second_interface: str, tmp_path: Path) -> None:
    picture = tmp_path / "mine.png"
    Image.new("RGB", (2, 3)).save(picture)
    with Comfy() as client:
        graph = client.workflows.from_json(deepcopy(WORK))
        graph.set_input("2", "text", "by the SDK")
        (output,) = ended(host, client, graph).get_outputs("2")
        assert output.to_bytes() == b"picture by the SDK"
        graph = client.workflows.from_json({"1": {"class_type": "Pick", "inputs": {}}, "2": show("x", ["1", 0])})
        graph.set_input("1", "image", client.assets.from_file(str(picture)))
        assert ended(host, client, graph).get_outputs("2")
        assert len(list(client.list_jobs())) == 2
        with pytest.raises(InvalidWorkflow, match="Nothing does not exist"):
            client.run(client.workflows.from_json({"1": {"class_type": "Nothing", "inputs": {}}}))


def test_comfy_headless(host: Hosted, tmp_path: Path) -> None:
    picture = tmp_path / "headless.png"
    Image.new("RGB", (2, 2)).save(picture)
    with ComfyClient(host.url) as client:
        assert client.is_online()
        assert client.check_workflow_dependencies(WORK)["all_installed"]
        assert client.check_workflow_types(WORK)["errors"] == []
        job = client.queue_prompt(WORK)
        assert job is not None
        entry = client.wait_for_completion(job, 30, 0.05)
        assert entry is not None
        (image,) = entry["outputs"]["2"]["images"]
        assert client.get_image(image["filename"], image["subfolder"], image["type"]) == b"picture drawn"
        assert client.upload_image(str(picture))["name"] == "headless.png"
        assert client.get_queue()["queue_running"] == []


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

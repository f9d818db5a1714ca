"""Text becomes a picture: over HTTP and WebSocket, with previews, caching, crashes and refusals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from websockets.sync.client import ClientConnection, connect

from tests.system.conftest import ROOT, Program

Graph = dict[str, Any]


@contextmanager
def listen(program: Program, client: str) -> Iterator[ClientConnection]:
    """A client's socket that has said it takes previews with metadata."""
    with connect(f"ws://127.0.0.1:{program.port}/ws?clientId={client}") as socket:
        socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
        yield socket


def hear(socket: ClientConnection, seconds: float = 90.0) -> list[Any]:
    """All messages until a run has ended: dicts, and bytes for previews."""
    heard: list[Any] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        message = socket.recv(timeout=deadline - time.monotonic())
        heard.append(_parsed(message))
        if is_a(heard[-1], "executing") and heard[-1]["data"]["node"] is None:
            return heard
    raise AssertionError(f"the run did not end: {heard[-3:]}")


def wait_for_a_step(socket: ClientConnection) -> None:
    """Listen until the sampler reports progress."""
    while not is_a(_parsed(socket.recv(timeout=60)), "progress"):
        pass


def _parsed(message: str | bytes) -> Any:
    return message if isinstance(message, bytes) else json.loads(message)


def is_a(message: Any, kind: str) -> bool:
    """Whether it is a text message of that type."""
    return isinstance(message, dict) and message["type"] == kind


def started(heard: list[Any]) -> list[str]:
    """The nodes that ran, in order."""
    return [m["data"]["node"] for m in heard if is_a(m, "executing") and m["data"]["node"]]


def run(program: Program, graph: Graph, client: str, **more: Any) -> tuple[str, list[Any]]:
    """Submit a graph and hear its run."""
    with listen(program, client) as socket:
        status, answer = program.post("/prompt", {"prompt": graph, "client_id": client, **more})
        assert status == 200, answer
        return answer["prompt_id"], hear(socket)


def picture(program: Program, job: str) -> Image.Image:
    """The saved picture of a job, from disk."""
    saved = program.finished(job)["outputs"]["9"]["images"][0]
    with Image.open(program.base / "output" / saved["subfolder"] / saved["filename"]) as image:
        image.load()
        return image


def test_a_client_sees_the_picture_come(program: Program, graph: Graph) -> None:
    workflow = {"workflow": {"nodes": [], "links": [], "version": 0.4}}
    job, heard = run(program, graph, "one", extra_data={"extra_pnginfo": workflow})
    order = started(heard)
    assert set(order) == {"3", "4", "5", "6", "7", "8", "9"}
    assert order.index("4") < order.index("6") < order.index("3") < order.index("8") < order.index("9")
    kinds = [m["type"] if isinstance(m, dict) else "preview" for m in heard]
    assert kinds.index("execution_start") < kinds.index("execution_cached") < kinds.index("executing")
    steps = [m["data"]["value"] for m in heard if is_a(m, "progress")]
    assert steps == sorted(steps)
    assert steps[-1] == 20
    previews = [m for m in heard if isinstance(m, bytes)]
    assert previews
    size = int.from_bytes(previews[0][4:8], "big")
    assert json.loads(previews[0][8 : 8 + size])["node_id"] == "3"
    assert previews[0][8 + size :][:2] == b"\xff\xd8"
    image = picture(program, job)
    assert image.size == (64, 64)
    assert json.loads(image.text["prompt"])["6"]["inputs"]["text"] == graph["6"]["inputs"]["text"]  # type: ignore[attr-defined]
    assert json.loads(image.text["workflow"]) == workflow["workflow"]  # type: ignore[attr-defined]


def test_only_what_changed_runs_again(program: Program, graph: Graph) -> None:
    graph["6"]["inputs"]["text"] = "a small green ring"
    run(program, graph, "two")
    _, again = run(program, graph, "two")
    assert started(again) == []
    graph["3"]["inputs"]["seed"] += 1
    _, heard = run(program, graph, "two")
    assert started(heard) == ["3", "8", "9"]


def test_a_killed_worker_costs_no_job(program: Program, graph: Graph) -> None:
    graph["3"]["inputs"] |= {"seed": 99, "steps": 400}
    with listen(program, "three") as socket:
        _, answer = program.post("/prompt", {"prompt": graph, "client_id": "three"})
        wait_for_a_step(socket)
        os.kill(program.worker_pid(), signal.SIGKILL)
        heard = hear(socket)
    told = [m for m in heard if is_a(m, "job_requeued")]
    assert told
    assert told[0]["data"]["prompt_id"] == answer["prompt_id"]
    entry = program.finished(answer["prompt_id"])
    assert entry["status"]["status_str"] == "success"
    assert len(entry["outputs"]["9"]["images"]) == 1


def test_a_killed_server_loses_nothing(program: Program, graph: Graph) -> None:
    jobs = []
    for seed in (500, 501, 502):
        graph["3"]["inputs"]["seed"] = seed
        jobs.append(program.post("/prompt", {"prompt": graph})[1]["prompt_id"])
    program.restart(signal.SIGKILL)
    for job in jobs:
        assert program.finished(job)["status"]["status_str"] == "success"


def test_cancelling_takes_effect_within_a_step(program: Program, graph: Graph) -> None:
    graph["3"]["inputs"] |= {"seed": 1234, "steps": 5000}
    with listen(program, "five") as socket:
        _, answer = program.post("/prompt", {"prompt": graph, "client_id": "five"})
        wait_for_a_step(socket)
        program.post("/interrupt", {"prompt_id": answer["prompt_id"]})
        heard = hear(socket)
    assert any(is_a(m, "execution_interrupted") for m in heard)


REFUSALS: dict[str, tuple[Any, str]] = {
    "unknown class": ({"9": {"class_type": "NoSuchNode", "inputs": {}}}, "NoSuchNode"),
    "wrong type": ({"3": {"steps": "many"}}, "many"),
    "too small": ({"3": {"steps": 0}}, "smaller than min"),
    "no such sampler": ({"3": {"sampler_name": "magic"}}, "magic"),
    "no such file": ({"4": {"ckpt_name": "ghost.safetensors"}}, "ghost.safetensors"),
    "dangling link": ({"8": {"samples": ["77", 0]}}, "77"),
    "wrong link": ({"8": {"samples": ["4", 0]}}, "MODEL"),
    "cycle": ({"5": {"width": ["8", 0]}, "8": {"samples": ["3", 0]}, "3": {"latent_image": ["5", 0]}}, "5"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_graph_that_cannot_run_is_refused(program: Program, graph: Graph, name: str) -> None:
    changes, word = REFUSALS[name]
    for node, change in changes.items():
        graph[node] = change if "class_type" in change else {**graph[node], "inputs": graph[node]["inputs"] | change}
    status, answer = program.post("/prompt", {"prompt": graph})
    assert status == 400
    assert word in json.dumps(answer)
    assert program.get("/system_stats")["system"]


def test_a_damaged_checkpoint_fails_the_job_in_words(program: Program, graph: Graph) -> None:
    folder = program.base / "models" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    shipped = (ROOT / "models" / "checkpoints" / "loom-scenes-64.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(shipped[: len(shipped) // 2])
    (folder / "foreign.safetensors").write_bytes(b"not a model" * 100)
    for name, words in (("cut.safetensors", "cut short"), ("foreign.safetensors", "no safetensors file")):
        graph["4"]["inputs"]["ckpt_name"] = name
        deadline = time.monotonic() + 20
        while (answer := program.post("/prompt", {"prompt": graph}))[0] != 200 and time.monotonic() < deadline:
            time.sleep(0.3)  # a new file is listed within seconds
        entry = program.finished(answer[1]["prompt_id"])
        kind, told = entry["status"]["messages"][-1]
        assert kind == "execution_error"
        assert told["node_id"] == "4"
        assert words in told["exception_message"]
        assert name in told["exception_message"]


def test_the_documented_client_works(program: Program, tmp_path: Path) -> None:
    script = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "http.md").read_text(), re.DOTALL)
    assert script
    code = script[1].replace("http://127.0.0.1:8188", program.url).replace("web/", f"{ROOT}/web/")
    assert len([line for line in script[1].splitlines() if line]) <= 15
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=90)
    (path,) = tmp_path.glob("*.png")
    with Image.open(path) as image:
        assert image.size == (64, 64)


def test_the_page_is_served(program: Program) -> None:
    with urllib.request.urlopen(program.url) as answer:
        assert b"Latent Loom" in answer.read()
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]

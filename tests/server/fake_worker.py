"""A worker without torch, for tests: real process, real link, nodes that do what a test needs.

Nodes: Number(value) → INT; Work(steps, seconds) shows progress and previews; Show(text) is an output and publishes a
file; Say(text) is an output without one; Crash(times, file) kills its own process while `file` holds fewer than `times`
lines; Stubborn(seconds, how) does not yield: it sleeps, holds the interpreter in C all the while ("in C"), or catches
whatever it is told and goes on ("swallow"); Fail(message).
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.engine.events import NodeFinished, NodesCached, NodeStarted, Preview, Progress, RunFailed, RunSucceeded
from app.errors import Cancelled, InvalidRequest
from app.graph.order import ancestors
from app.graph.prompt import parse_prompt
from app.graph.spec import InputSpec, NodeSpec, OutputSpec, spec_to_json
from app.link.launcher import watch_lifeline
from app.link.messages import Hello, Job
from app.link.worker_client import Emit, Interrupted, WorkerLoop
from app.settings import Settings
from app.store.outputs import OutputFolders
from tests.server import kill_point

ANY = InputSpec("value", "*", "optional")
OUT = (OutputSpec("value", "INT"),)
TEXT = InputSpec("text", "STRING", "required", {"default": ""})


def number(name: str, default: float = 0, kind: str = "INT", **options: Any) -> InputSpec:
    return InputSpec(name, kind, "required", {"default": default, **options})


SPECS = (
    NodeSpec("Number", (number("value", 1, min=0, max=1000),), OUT),
    NodeSpec("Work", (number("steps", 3), number("seconds", 0.0, "FLOAT"), ANY), OUT),
    NodeSpec("Show", (ANY, TEXT), output_node=True),
    NodeSpec("Say", (ANY, TEXT), output_node=True),
    NodeSpec("Crash", (number("times", 1), InputSpec("file", "STRING"), ANY), OUT),
    NodeSpec("Stubborn", (number("seconds", 60.0, "FLOAT"), InputSpec("how", "STRING", "optional")), OUT),
    NodeSpec("Fail", (InputSpec("message", "STRING"),), OUT),
    NodeSpec("Pick", (InputSpec("image", ("a.png",), folder="input"),), OUT),
)


class FakeEvaluate:
    """Runs prompts of the nodes above. Staged files go below `temp`."""

    def __init__(self, temp: Path) -> None:
        self.outputs = OutputFolders(temp / "unused", temp)
        self.shown: dict[str, dict[str, Any]] = {}

    def __call__(self, job: Job, emit: Emit, interrupted: Interrupted) -> None:
        prompt = parse_prompt(job.prompt)
        emit(NodesCached(()))
        for node_id in ancestors(prompt, list(job.outputs)).order:
            node = prompt.nodes[node_id]
            emit(NodeStarted(node_id, node.class_type, node_id))
            if interrupted():
                raise Cancelled("stop")
            if node.class_type == "Fail":
                message = node.inputs["message"]
                emit(RunFailed(node_id, "Fail", message, "ValueError", ("line",), {"message": [message]}, (), "Mend."))
                return
            ui = getattr(self, f"do_{node.class_type.lower()}", self.do_nothing)(
                node_id, node.inputs, emit, interrupted
            )
            emit(NodeFinished(node_id, node.class_type, node_id, False, ui, 0.1))
        emit(RunSucceeded())

    def asked(self, about: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """What is expected of a prompt: all that its outputs need will run. Of one that fails nothing is known."""
        prompt = parse_prompt(data["prompt"])
        if any(node.class_type == "Fail" for node in prompt.nodes.values()):
            raise InvalidRequest(f"This worker knows nothing about {about}.")
        nodes = [(node_id, prompt.nodes[node_id].class_type) for node_id in ancestors(prompt, data["outputs"]).order]
        told = {"verdict": "run", "reason": "new", "rounds": 1, "signature": ()}
        return {"nodes": [{"node_id": node_id, "class_type": kind, **told} for node_id, kind in nodes]}

    def do_nothing(self, *_: Any) -> None:
        """Most nodes only pass."""

    def do_work(self, node_id: str, inputs: dict[str, Any], emit: Emit, interrupted: Interrupted) -> None:
        for step in range(inputs["steps"]):
            if interrupted():
                raise Cancelled("stop")
            time.sleep(inputs["seconds"])
            emit(Progress(node_id, step + 1, inputs["steps"]))
            emit(Preview(node_id, "image/jpeg", b"\xff\xd8preview"))

    def do_show(self, node_id: str, inputs: dict[str, Any], *_: Any) -> dict[str, Any]:
        name = self.outputs.stage(b"picture " + inputs["text"].encode(), ".png")
        prefix = inputs["text"] if inputs["text"].startswith("prefix:") else "prefix:shown"
        entry = {"staged": name, "prefix": prefix.removeprefix("prefix:"), "type": "output", "format": "png"}
        return {"images": [{**entry, "width": 8, "height": 8}], "text": [inputs["text"]]}

    def do_say(self, node_id: str, inputs: dict[str, Any], *_: Any) -> dict[str, Any]:
        return {"text": [inputs["text"]]}

    def do_crash(self, _: str, inputs: dict[str, Any], *__: Any) -> None:
        path = Path(inputs["file"])
        with open(path, "a", encoding="ascii") as file:
            file.write("x\n")
        if len(path.read_text("ascii").splitlines()) <= inputs["times"]:
            os.kill(os.getpid(), signal.SIGKILL)

    def do_stubborn(self, _: str, inputs: dict[str, Any], emit: Emit, interrupted: Interrupted) -> None:
        end = time.monotonic() + inputs["seconds"]
        if inputs.get("how") == "in C":
            # PyDLL keeps the interpreter's lock: not even the thread that talks with the server runs meanwhile.
            ctypes.PyDLL(None).sleep(math.ceil(inputs["seconds"]))
        while time.monotonic() < end:
            time.sleep(0.01 if inputs.get("how") == "swallow" else inputs["seconds"])
            with suppress(Exception):
                if interrupted():
                    raise Cancelled("stop")


def main() -> None:
    """Work for the server that the command line names."""
    settings = Settings.from_arguments(sys.argv[1:])
    watch_lifeline()
    kill_point.arm(settings.directories.base)
    (settings.directories.base / "worker.pid").write_text(str(os.getpid()))
    hello = Hello(
        specs=tuple(spec_to_json(spec) for spec in SPECS),
        devices=({"name": "cpu", "type": "cpu", "index": None, "vram_total": 1, "vram_free": 1},),
        versions={"torch": "none"},
        name="fake",
        process_id=os.getpid(),
    )
    evaluate = FakeEvaluate(settings.directories.temp)
    WorkerLoop(settings.worker.connect, settings.worker.secret, hello, evaluate, asked=evaluate.asked).run()


if __name__ == "__main__":
    main()

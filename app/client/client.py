"""The client: every call blocks until the server has answered."""

from __future__ import annotations

import json
import struct
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from websockets.sync.client import connect

from app.client.transport import Transport, form
from app.client.values import (
    Estimate,
    Event,
    File,
    JobFailed,
    NodeText,
    Preview,
    Queue,
    Result,
    Submitted,
    files_of,
    output_of,
)

_QUIET_SECONDS = 40.0  # the server says something at least every 15 s
_AGAIN_SECONDS = 0.5
_ENDED = ("completed", "failed", "cancelled")
_PREVIEW, _TEXT, _PREVIEW_WITH_METADATA = 1, 3, 4
Said = Event | Preview | NodeText


class Client:
    """A server as an object.

    Args:
        url: where it is.
        token: what it was started with, if anything.
        client_id: whose messages the socket brings; a new one by default.
        timeout: seconds that one answer may take.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8188",
        *,
        token: str | None = None,
        client_id: str | None = None,
        timeout: float = 60.0,
    ):
        self.transport = Transport(url.rstrip("/"), token, timeout)
        self.client_id = client_id or str(uuid.uuid4())

    def submit(self, graph: Mapping[str, Any], *, key: str | None = None, **more: Any) -> Submitted:
        """Queue a graph in API form. Once this returns, it survives whatever happens to the server.

        Args:
            graph: nodes by id, as the editor exports them.
            key: the same key and graph give the same job, however often they are sent.
            **more: other keys of POST /prompt: front, number, urgency, extra_data, partial_execution_targets.

        Raises:
            Refused: the graph cannot run; `node_errors` says where.
        """
        body = {"prompt": graph, "client_id": self.client_id, **more}
        headers = {"Idempotency-Key": key} if key else {}
        told = self.transport.ask("POST", "/api/prompt", body, headers=headers)
        return Submitted(told["prompt_id"], told["number"], told["node_errors"])

    def wait(self, job_id: str, timeout: float | None = None, hear: Callable[[Event], None] | None = None) -> Result:
        """The result of a job, once it has ended. A server that goes away and comes back is waited for.

        Args:
            job_id: of a job that was submitted.
            timeout: seconds, None for as long as it takes.
            hear: gets each stored message of the job, in order, once.

        Raises:
            JobFailed: it failed or was cancelled.
            TimeoutError: it has not ended in time; it goes on.
            Refused: there is no such job.
        """
        for event in self.events(job_id, timeout=timeout):
            if hear is not None:
                hear(event)
        job = self.job(job_id)
        if job["status"] != "completed":
            raise JobFailed(job)
        return Result(job_id, job["outputs"], files_of(job["outputs"]))

    def run(self, graph: Mapping[str, Any], timeout: float | None = None, **more: Any) -> Result:
        """Submit and wait. Raises as both do."""
        return self.wait(self.submit(graph, **more).id, timeout)

    def events(self, job_id: str, since: int = 0, timeout: float | None = None) -> Iterator[Event]:
        """The job's stored messages after a number, as they come, until it has ended; none twice, none left out.

        Raises:
            TimeoutError: it has not ended in time.
            Refused: there is no such job.
        """
        until = None if timeout is None else time.monotonic() + timeout
        path = f"{_job(job_id)}/events"
        while True:
            left = _QUIET_SECONDS if until is None else min(_QUIET_SECONDS, until - time.monotonic())
            if left <= 0:
                raise TimeoutError(f"Job {job_id} has not ended in {timeout} seconds.")
            try:
                for event in self.transport.stream(path, since, left):
                    since = event.seq or since
                    yield event
                    if until is not None and time.monotonic() > until:
                        break
                else:
                    if self.job(job_id)["status"] in _ENDED:
                        return
            except OSError:
                time.sleep(_AGAIN_SECONDS)  # it restarts, or the network does

    def job(self, job_id: str) -> Mapping[str, Any]:
        """What the server knows of a job. Raises Refused where it knows nothing."""
        return self.transport.ask("GET", _job(job_id))

    def cancel(self, job_id: str) -> bool:
        """Cancel a job, waiting or running; False when there was nothing to cancel."""
        return bool(self.transport.ask("POST", f"{_job(job_id)}/cancel")["cancelled"])

    def jobs(self, *status: str, limit: int | None = None) -> list[Mapping[str, Any]]:
        """The jobs, newest first, all or those of some status: pending, in_progress, completed, failed, cancelled."""
        query = {"status": ",".join(status), **({} if limit is None else {"limit": limit})}
        return self.transport.ask("GET", "/api/jobs", query=query)["jobs"]

    def queue(self) -> Queue:
        """What runs and what waits."""
        told = self.transport.ask("GET", "/api/queue")
        running, waiting = (tuple(item[1] for item in told[name]) for name in ("queue_running", "queue_pending"))
        return Queue(running, waiting, told["paused"])

    def pause(self) -> None:
        """Let no waiting job begin until `resume`, be it by a later server; what runs goes on."""
        self.transport.ask("POST", "/api/queue/pause")

    def resume(self) -> None:
        """Let waiting jobs begin again."""
        self.transport.ask("POST", "/api/queue/resume")

    def reorder(
        self,
        job_id: str,
        *,
        to: Literal["front", "back"] | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> bool:
        """Move a waiting job to the front or the back, or beside another one; False when it does not wait any more.

        Raises:
            Refused: not exactly one place was given, or there is no such job.
        """
        place = {name: value for name, value in (("to", to), ("before", before), ("after", after)) if value is not None}
        return bool(self.transport.ask("POST", f"{_job(job_id)}/reorder", place)["reordered"])

    def urge(self, job_id: str, urgency: int) -> bool:
        """Let a waiting job run before those of lower urgency (-1000 to 1000, usually 0); False as in `reorder`."""
        return bool(self.transport.ask("POST", f"{_job(job_id)}/urgency", {"urgency": urgency})["urged"])

    def estimate(self, graph: Mapping[str, Any], **more: Any) -> Estimate:
        """What a graph would take, without running it. Takes, and refuses, what `submit` does."""
        told = self.transport.ask("POST", "/api/estimate", {"prompt": graph, **more})
        run, cached, maybe, unknown = (tuple(told[name]) for name in ("run", "cached", "maybe", "unknown"))
        return Estimate(told["seconds"], told["peak_bytes"], run, cached, maybe, unknown, told["nodes"])

    def nodes(self) -> Mapping[str, Any]:
        """The classes of nodes by name, as GET /object_info tells them."""
        return self.transport.ask("GET", "/api/object_info")

    def upload(self, source: Path | bytes, name: str = "", *, subfolder: str = "", overwrite: bool = False) -> File:
        """Bring a file to the server's input folder. `File.value` is what a node's input takes.

        Raises:
            Refused: a type that graphs do not read, or too large.
        """
        content = source if isinstance(source, bytes) else source.read_bytes()
        name = name or (source.name if isinstance(source, Path) else "upload.png")
        fields = {"type": "input", "subfolder": subfolder, "overwrite": "true" if overwrite else "false"}
        body, kind = form(fields, name, content)
        with self.transport.open("POST", "/api/upload/image", body, headers={"Content-Type": kind}) as answer:
            told = json.load(answer)
        return File(told["name"], told["subfolder"], told["type"])

    def fetch(self, file: File, *, preview: str = "") -> bytes:
        """A file's bytes; with `preview` such as "webp;80" a picture in that format and quality."""
        query = {"filename": file.filename, "subfolder": file.subfolder, "type": file.type}
        with self.transport.open(
            "GET", "/api/view", query={**query, **({"preview": preview} if preview else {})}
        ) as got:
            return got.read()

    def workflows(self) -> Mapping[str, Mapping[str, Any]]:
        """The saved workflows: for each name the JSON schema of its inputs."""
        told = self.transport.ask("GET", "/api/workflows")["workflows"]
        return {each["name"]: each["inputs"] for each in told if each["error"] is None}

    def save_workflow(self, name: str, graph: Mapping[str, Any]) -> None:
        """Keep a graph, in API form or with its layout, as the saved workflow of that name."""
        self.transport.ask("POST", f"/api/userdata/{quote(f'workflows/{name}.json', safe='')}", graph)

    def run_workflow(self, name: str, timeout: float | None = None, *, key: str | None = None, **inputs: Any) -> Result:
        """Run a saved workflow with these inputs and wait; `Result.named` holds its outputs by their names.

        Raises as `submit` and `wait` do.
        """
        told = self.transport.ask(
            "POST",
            f"/api/workflows/{quote(name, safe='')}/run",
            inputs,
            query={"client_id": self.client_id},
            headers={"Idempotency-Key": key} if key else {},
        )
        result = self.wait(told["prompt_id"], timeout)
        places = {name: each["node_id"] for name, each in told["results"].items()}
        return replace(result, named={name: output_of(result.outputs.get(node_id)) for name, node_id in places.items()})

    @contextmanager
    def listen(self) -> Generator[Iterator[Said]]:
        """The socket: everything said to this client while the context lasts, progress and previews included.

        Enter it before submitting, or what comes first is missed.
        """
        address = f"ws{self.transport.url.removeprefix('http')}/api/ws?clientId={quote(self.client_id, safe='')}"
        headers = {"Authorization": f"Bearer {self.transport.token}"} if self.transport.token else {}
        with connect(address, additional_headers=headers, max_size=None, open_timeout=self.transport.timeout) as socket:
            socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
            yield (said for said in map(heard, socket) if said is not None)


def _job(job_id: str) -> str:
    return f"/api/jobs/{quote(job_id, safe='')}"


def heard(said: str | bytes) -> Said | None:
    """A message of the socket; None for a frame of a kind that packs have made up, or one that is cut short."""
    if isinstance(said, str):
        told = json.loads(said)
        return Event(told["type"], told["data"], told.get("seq"))
    if len(said) < 8:
        return None
    kind, length = struct.unpack(">II", said[:8])
    if kind == _PREVIEW_WITH_METADATA:
        about = json.loads(said[8 : 8 + length])
        return Preview(said[8 + length :], about.get("image_type", ""), about)
    if kind == _TEXT:
        return NodeText(said[8 : 8 + length].decode(), said[8 + length :].decode("utf-8", "replace"))
    if kind == _PREVIEW:
        return Preview(said[8:], "image/png" if said[7] == 2 else "image/jpeg", {})
    return None

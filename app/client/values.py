"""What the client hands out, and the two ways in which things go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast


class Refused(Exception):
    """The server did not take a request: its status, what is wrong, and the way out."""

    def __init__(self, status: int, told: Mapping[str, Any]):
        error: Mapping[str, Any] = told.get("error") or {}
        self.status = status
        self.kind = str(error.get("type", ""))
        self.message = str(error.get("message", "The server refused."))
        self.remedy = str(error.get("remedy", ""))
        self.node_errors: Mapping[str, Any] = told.get("node_errors") or {}
        super().__init__(f"{status}: {self.message} {self.remedy}".strip())


class JobFailed(Exception):
    """A job ended without its outputs: it failed, or was cancelled. `job` is what GET /jobs/{id} tells."""

    def __init__(self, job: Mapping[str, Any]):
        self.job = job
        self.status = str(job.get("status", ""))
        error: Mapping[str, Any] = job.get("execution_error") or {}
        self.node_id = str(error.get("node_id", ""))
        self.message = str(error.get("exception_message", "")).strip() or f"The job was {self.status}."
        super().__init__(f"{self.message} (job {job.get('id')}, node {self.node_id or 'none'})")


@dataclass(frozen=True, slots=True)
class File:
    """A file on the server; `type` is output, temp or input."""

    filename: str
    subfolder: str = ""
    type: str = "output"

    @property
    def value(self) -> str:
        """As inputs of nodes write it."""
        path = f"{self.subfolder}/{self.filename}" if self.subfolder else self.filename
        return path if self.type == "input" else f"{path} [{self.type}]"


@dataclass(frozen=True, slots=True)
class Submitted:
    """A graph that is safely queued. `node_errors` tells of outputs that will not run."""

    id: str
    number: float
    node_errors: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Output:
    """What one output gave: its files and texts in order."""

    files: tuple[File, ...]
    text: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """A job that succeeded: what each node showed, and its files in order.

    `named` are the outputs of a saved workflow that have names.
    """

    id: str
    outputs: Mapping[str, Any]
    files: tuple[File, ...]
    named: Mapping[str, Output] = field(default_factory=dict[str, Output])


@dataclass(frozen=True, slots=True)
class Queue:
    """The ids of jobs that run and of jobs that wait, in their order; a paused queue lets none begin."""

    running: tuple[str, ...]
    waiting: tuple[str, ...]
    paused: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a graph will take: seconds, the highest memory of one node in bytes, and the ids of nodes by what becomes of
    them. `unknown` are nodes that have never run, which the sums leave out; `nodes` tells of each."""

    seconds: float
    peak_bytes: int
    run: tuple[str, ...]
    cached: tuple[str, ...]
    maybe: tuple[str, ...]
    unknown: tuple[str, ...]
    nodes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """A message; `seq` is its number if it is stored. See docs/http.md for the types."""

    type: str
    data: Mapping[str, Any]
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class NodeText:
    """A text that a node shows while it works."""

    node_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture of a node at work, encoded as `image_type` says; `about` holds the ids of node and job."""

    image: bytes
    image_type: str
    about: Mapping[str, Any]


def output_of(shown: object) -> Output:
    """What a node showed, as files and texts."""
    told = cast("dict[str, Any]", shown) if isinstance(shown, dict) else {}
    texts: Any = told.get("text")
    said: list[Any] = cast("list[Any]", texts) if isinstance(texts, list) else []
    return Output(files_of({"": told}), tuple(text for text in said if isinstance(text, str)))


def files_of(outputs: Mapping[str, Any]) -> tuple[File, ...]:
    """The files among what nodes showed."""
    listed: list[Any] = [each for shown in outputs.values() for each in shown.values() if isinstance(each, list)]
    entries: list[Any] = [entry for each in listed for entry in each if isinstance(entry, dict)]
    return tuple(
        File(str(each["filename"]), str(each.get("subfolder", "")), str(each.get("type", "output")))
        for each in entries
        if "filename" in each
    )

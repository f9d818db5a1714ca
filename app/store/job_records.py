"""A job as data, and its row in the database."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from app.graph.json_values import is_object, is_sequence

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Submission:
    """What somebody wants to be run: a validated prompt in API form and its output nodes.

    `number` is the place in the queue, lowest first; None takes the next one, or with `front` one before all. Higher
    `urgency` goes before any number.
    """

    id: str
    prompt: Mapping[str, Any]
    outputs: Sequence[str]
    extra_data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    client_id: str | None = None
    number: float | None = None
    front: bool = False
    urgency: int = 0

    @property
    def workflow_id(self) -> str | None:
        """The id of the editor's document, where one came along."""
        info = self.extra_data.get("extra_pnginfo")
        workflow = info.get("workflow") if is_object(info) else None
        name = workflow.get("id") if is_object(workflow) else None
        return name if isinstance(name, str) else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended.

    `results` maps a node to the ui that it showed; `messages` are the lifecycle messages [type, data] in order.
    """

    state: State
    results: Mapping[str, Any] = field(default_factory=dict[str, Any])
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])
    messages: Sequence[Sequence[Any]] = ()
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as stored. Times are seconds since 1970; `prompt` is empty where a listing left it out.

    What may be large is kept as JSON text, and read each time when somebody asks for it: most who ask for a job do not.
    """

    id: str
    urgency: int
    number: float
    state: State
    prompt_text: str
    outputs: tuple[str, ...]
    extra_data_text: str
    workflow_id: str | None
    client_id: str | None
    token: int
    losses: int
    cancel_requested: bool
    created: float
    started: float | None
    finished: float | None
    results: Mapping[str, Any]
    meta: Mapping[str, Any]
    messages: tuple[Any, ...]
    error: Mapping[str, Any] | None

    @property
    def prompt(self) -> Mapping[str, Any]:
        """The validated prompt in API form."""
        return json.loads(self.prompt_text)

    @property
    def extra_data(self) -> Mapping[str, Any]:
        """What came along with the prompt."""
        return json.loads(self.extra_data_text)


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def to_text(data: object) -> str:
    """Strict JSON without spaces: what is no finite number becomes null, and half a surrogate pair is escaped."""
    try:
        return _ENCODER.encode(data)
    except ValueError:
        return _ENCODER.encode(_finite(data))


def _finite(data: object) -> object:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if is_object(data):
        return {name: _finite(value) for name, value in data.items()}
    return [_finite(item) for item in data] if is_sequence(data) else data


def record_of(row: sqlite3.Row) -> JobRecord:
    """The record that a row holds. A job that a worker was given ahead still waits."""
    given_ahead = row["state"] == "running" and row["started"] is None
    return JobRecord(
        id=row["id"],
        urgency=row["urgency"],
        number=row["number"],
        state="queued" if given_ahead else row["state"],
        prompt_text=row["prompt"],
        outputs=tuple(json.loads(row["outputs"])),
        extra_data_text=row["extra_data"],
        workflow_id=row["workflow_id"],
        client_id=row["client_id"],
        token=row["token"],
        losses=row["losses"],
        cancel_requested=bool(row["cancel_requested"]),
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
        results=json.loads(row["results"] or "{}"),
        meta=json.loads(row["meta"] or "{}"),
        messages=tuple(json.loads(row["messages"] or "[]")),
        error=json.loads(row["error"]) if row["error"] else None,
    )

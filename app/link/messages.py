"""What the server and a worker say to each other, as typed messages and as JSON.

    worker                                    server
    Hello ───────────────────────────────────▶
          ◀─────────────────────────────────── Welcome
    Ready ───────────────────────────────────▶            has nothing to do
          ◀─────────────────────────────────── Job        under a lease, with a fencing token
    RunEvent*, Heartbeat* ───────────────────▶            previews as binary frames
          ◀─────────────────────────────────── Cancel     perhaps
    Done ────────────────────────────────────▶            and Ready again
          ◀─────────────────────────────────── Free, Ask, Stop at any time
    Answer ──────────────────────────────────▶            to an Ask

A worker whose jobs are over in no time is given the next ones ahead, as many as its Hello says that it holds. It
begins with them by itself. The server may ask for them back (Return); what has not been begun is then Returned, and so
is a job that is cancelled before it was begun.

A lost connection is a lost job: the server queues it again, the worker stops working on it and dials again. Whatever
a worker says of a job carries the token of its claim, and the server ignores words under an outdated one.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from app.engine.events import Event, Preview, event_from_json, event_to_json
from app.errors import InvalidRequest

PROTOCOL = 1
_LENGTH = struct.Struct(">I")
_LONGEST_HEADER = 1 << 16
_LONGEST_BUNDLE = 1 << 20


@dataclass(frozen=True, slots=True)
class Message:
    """Base of all messages. `kind` is the word that stands for it on the wire."""

    kind: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Hello(Message):
    """A worker introduces itself.

    `specs` are its nodes as `spec_to_json` writes them; `devices` are the entries of `/system_stats`;
    `failures` tells which node packs could not be loaded: {"name", "message", "traceback"?}. `packs` tells of all of
    them: {"packs": reports, "routes": [[method, path]], "address": where those are served, "handlers": how many see
    posted prompts, "folders": model folders by kind that they have added, "replacements": of their old classes}.
    `ahead` is how many jobs it can hold beside the one it works on.
    """

    kind = "hello"
    specs: tuple[Mapping[str, Any], ...] = ()
    devices: tuple[Mapping[str, Any], ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    failures: tuple[Mapping[str, Any], ...] = ()
    name: str = ""
    process_id: int = 0
    protocol: int = PROTOCOL
    packs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class Welcome(Message):
    """The server takes the worker in. Beats are due every third of the lease."""

    kind = "welcome"
    worker_id: str
    lease_seconds: float


@dataclass(frozen=True, slots=True)
class Ready(Message):
    """The worker has nothing to do."""

    kind = "ready"


@dataclass(frozen=True, slots=True)
class Job(Message):
    """One job for the worker: a validated prompt in API form and the output nodes to run."""

    kind = "job"
    job_id: str
    token: int
    prompt: Mapping[str, Any]
    outputs: tuple[str, ...]
    extra_data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class StoredJob(Message):
    """A `Job` on its way out, whose prompt and extra data are JSON text already."""

    kind = "job"
    job_id: str
    token: int
    prompt: str
    outputs: tuple[str, ...]
    extra_data: str = "{}"
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class RunEvent(Message):
    """Something happened in a run; `event` is as `event_to_json` writes it. Previews travel as binary frames."""

    kind = "event"
    job_id: str
    token: int
    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Done(Message):
    """The worker has ended its work on the job; the terminal event was sent before."""

    kind = "done"
    job_id: str
    token: int


@dataclass(frozen=True, slots=True)
class Return(Message):
    """The server wants a job back that the worker was given ahead. Nothing happens if the worker has begun it."""

    kind = "return"
    job_id: str
    token: int


@dataclass(frozen=True, slots=True)
class Returned(Message):
    """The worker has not begun the job and will not."""

    kind = "returned"
    job_id: str
    token: int


@dataclass(frozen=True, slots=True)
class Heartbeat(Message):
    """The worker lives. `job_id` and `token` name the job whose lease it renews; `devices` are fresh figures."""

    kind = "heartbeat"
    job_id: str | None = None
    token: int = 0
    devices: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Tell(Message):
    """A pack says something to one client, or to all: JSON data under a name, or bytes (in base 64) by a number."""

    kind = "tell"
    event: str | int
    data: Any
    to: str | None = None


@dataclass(frozen=True, slots=True)
class Cancel(Message):
    """Stop the job at the next chance."""

    kind = "cancel"
    job_id: str
    token: int


@dataclass(frozen=True, slots=True)
class Free(Message):
    """Give memory back as soon as no job runs: models, and results of nodes as well if `free_memory`."""

    kind = "free"
    unload_models: bool = True
    free_memory: bool = False


@dataclass(frozen=True, slots=True)
class Ask(Message):
    """The server wants to know something, whether or not a job runs. `about` is the word for what."""

    kind = "ask"
    ask_id: str
    about: str
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Answer(Message):
    """The worker's answer to a question; `problem` says why there is none."""

    kind = "answer"
    ask_id: str
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Stop(Message):
    """End the worker."""

    kind = "stop"


def encode(message: Message) -> str:
    """A message as JSON text."""
    # Not `asdict`: it copies a prompt of many nodes piece by piece only for it to be written down.
    said = {part.name: getattr(message, part.name) for part in fields(message)}
    if not isinstance(message, StoredJob):
        return json.dumps({"kind": message.kind, **said})
    del said["prompt"], said["extra_data"]
    rest = json.dumps({"kind": message.kind, **said})
    return f'{rest[:-1]}, "prompt": {message.prompt}, "extra_data": {message.extra_data}}}'


def decode(text: str) -> Message:
    """The message that `encode` wrote.

    Raises:
        InvalidRequest: no message of this protocol.
    """
    try:
        return _message(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as broken:
        raise _foreign(text) from broken


def bundle(texts: Sequence[str]) -> Iterator[str]:
    """Encoded messages in as few texts for the wire as their lengths allow: each costs two system calls."""
    waiting: list[str] = []
    size = 0
    for text in texts:
        if waiting and size + len(text) > _LONGEST_BUNDLE:
            yield f"[{','.join(waiting)}]"
            waiting, size = [], 0
        waiting.append(text)
        size += len(text)
    if waiting:
        yield waiting[0] if len(waiting) == 1 else f"[{','.join(waiting)}]"


def unbundle(text: str) -> list[Message]:
    """The messages of a text that `bundle` made.

    Raises:
        InvalidRequest: no messages of this protocol.
    """
    if not text.startswith("["):
        return [decode(text)]
    try:
        return [_message(data) for data in json.loads(text)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as broken:
        raise _foreign(text) from broken


def _message(data: dict[str, Any]) -> Message:
    kind = _MESSAGES[data.pop("kind")]
    return kind(**{name: tuple(v) if name in _TUPLES else v for name, v in data.items()})


def _foreign(text: str) -> InvalidRequest:
    return InvalidRequest(
        f"Not a message of the worker protocol: {text[:200]!r}", remedy="Run server and worker of one version."
    )


def encode_event(job_id: str, token: int, event: Event) -> str | bytes:
    """An event of a run for the wire: text, or for a preview a binary frame.

    A frame is a 4-byte big-endian length, so many bytes of JSON {"job_id", "token", **event_to_json}, and the image.
    """
    data = event_to_json(event)
    if not isinstance(event, Preview):
        return encode(RunEvent(job_id, token, data))
    header = json.dumps({"job_id": job_id, "token": token, **data}).encode()
    return _LENGTH.pack(len(header)) + header + event.image


def decode_event(said: RunEvent | bytes) -> tuple[str, int, Event]:
    """(job id, token, event) of a text message or a binary frame.

    Raises:
        InvalidRequest: neither.
    """
    if isinstance(said, RunEvent):
        job_id, token, data, image = said.job_id, said.token, dict(said.event), b""
    else:
        job_id, token, data, image = _open_frame(said)
    try:
        return job_id, token, event_from_json(data, image)
    except (KeyError, TypeError) as broken:
        raise InvalidRequest(f"Not an event: {str(data)[:200]}") from broken


def _open_frame(frame: bytes) -> tuple[str, int, dict[str, Any], bytes]:
    try:
        (length,) = _LENGTH.unpack_from(frame)
        if length > _LONGEST_HEADER:
            raise ValueError("a header of that length is not possible")
        data = json.loads(frame[_LENGTH.size : _LENGTH.size + length])
        return data.pop("job_id"), data.pop("token"), data, frame[_LENGTH.size + length :]
    except (struct.error, ValueError, KeyError, AttributeError, RecursionError) as broken:
        raise InvalidRequest(f"Not a preview frame: {frame[:40]!r}") from broken


_TUPLES = {"specs", "devices", "failures", "outputs"}
_MESSAGES: Mapping[str, type[Message]] = {
    kind.kind: kind
    for kind in (
        Hello,
        Welcome,
        Ready,
        Job,
        RunEvent,
        Done,
        Return,
        Returned,
        Heartbeat,
        Tell,
        Cancel,
        Free,
        Ask,
        Answer,
        Stop,
    )
}

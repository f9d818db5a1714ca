"""What happens in a run, as data. The engine yields these; server, command line, tests and profiler listen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events. `name` is the word that stands for it on the wire."""

    name: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class NodesCached(Event):
    """Which nodes of the prompt have a stored result; sent once, before the first node. `classes` are theirs."""

    name = "nodes_cached"
    nodes: tuple[str, ...]
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeStarted(Event):
    """A node begins. `display_id` is where clients show it, for nodes that an expansion made."""

    name = "node_started"
    node_id: str
    class_type: str
    display_id: str


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """A node reports `value` of `maximum` units done."""

    name = "progress"
    node_id: str
    value: float
    maximum: float


@dataclass(frozen=True, slots=True)
class Preview(Event):
    """A picture of a node's work so far, already encoded; `mime` is image/jpeg or image/png."""

    name = "preview"
    node_id: str
    mime: str
    image: bytes


@dataclass(frozen=True, slots=True)
class NodeFinished(Event):
    """A node is done, by running or from the cache.

    `ui` is what clients are shown, None when there is nothing. `seconds` and `peak_bytes` are 0 for cached nodes;
    `result_bytes` is what the result holds. `reason` says why the node ran, naming the input that changed, and
    `signature` which runs ought to cost the same (see `graph.signature`); both are empty when cached.
    """

    name = "node_finished"
    node_id: str
    class_type: str
    display_id: str
    cached: bool
    ui: Mapping[str, list[Any]] | None = None
    seconds: float = 0.0
    peak_bytes: int = 0
    reason: str = ""
    result_bytes: int = 0
    signature: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeBlocked(Event):
    """A node was not run because an input carried a blocker with this message; the run goes on."""

    name = "node_blocked"
    node_id: str
    class_type: str
    message: str


@dataclass(frozen=True, slots=True)
class RunSucceeded(Event):
    """All outputs are done."""

    name = "run_succeeded"


@dataclass(frozen=True, slots=True)
class RunFailed(Event):
    """A node failed and the run stopped.

    `remedy` is the way out, "" when none is known; `input_name` the input that is to blame, None when none is.
    """

    name = "run_failed"
    node_id: str
    class_type: str
    message: str
    exception_type: str
    traceback: tuple[str, ...]
    current_inputs: Mapping[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    executed: tuple[str, ...] = ()
    remedy: str = ""
    input_name: str | None = None


@dataclass(frozen=True, slots=True)
class RunInterrupted(Event):
    """Somebody asked for the run to stop; the node that was running is named."""

    name = "run_interrupted"
    node_id: str
    class_type: str
    executed: tuple[str, ...] = ()


def event_to_json(event: Event) -> dict[str, Any]:
    """An event as JSON data, without a preview's bytes (they travel as binary)."""
    data = asdict(event)
    data.pop("image", None)
    return {"event": event.name, **data}


def event_from_json(data: Mapping[str, Any], image: bytes = b"") -> Event:
    """The event that `event_to_json` wrote.

    Raises:
        KeyError: an unknown event name.
    """
    kind = _EVENTS[data["event"]]
    fields: dict[str, Any] = {name: tuple(v) if name in _TUPLES else v for name, v in data.items() if name != "event"}
    return kind(**fields, image=image) if kind is Preview else kind(**fields)


_TUPLES = {"nodes", "classes", "executed", "traceback", "signature"}
_EVENTS: Mapping[str, type[Event]] = {
    kind.name: kind
    for kind in (
        NodesCached,
        NodeStarted,
        Progress,
        Preview,
        NodeFinished,
        NodeBlocked,
        RunSucceeded,
        RunFailed,
        RunInterrupted,
    )
}

"""From the engine's events to the messages that clients know, in their order. No sockets, no clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.engine.events import (
    Event,
    NodeBlocked,
    NodeFinished,
    NodesCached,
    NodeStarted,
    Preview,
    Progress,
    RunFailed,
    RunInterrupted,
    RunSucceeded,
)
from app.store.job_records import Outcome
from app.store.records import NodeRun

_PROGRESS_SECONDS = 0.03
_STATE_SECONDS = 0.05
_SMALL_GRAPH = 64
_SECONDS_PER_NODE = 0.001


@dataclass(frozen=True, slots=True)
class Said:
    """One message. `to_all` when everybody gets it if the prompt names no client; `stored` for those who come back."""

    type: str
    data: Mapping[str, Any]
    to_all: bool = False
    stored: bool = True


@dataclass(frozen=True, slots=True)
class Picture:
    """A preview and what is told beside it."""

    metadata: Mapping[str, Any]
    image: bytes


@dataclass(slots=True)
class RunTranslator:
    """Turns the events of one run into messages, and keeps what its history entry will hold.

    `clock` gives seconds since 1970. `state` is `progress_state`'s table of nodes, `running` the node shown as running.
    """

    job_id: str
    output_nodes: frozenset[str]
    node_ids: Callable[[], Iterable[str]]
    clock: Callable[[], float]
    results: dict[str, Any] = field(default_factory=dict[str, Any])
    meta: dict[str, Any] = field(default_factory=dict[str, Any])
    messages: list[list[Any]] = field(default_factory=list[list[Any]])
    state: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    running: str | None = None
    last_node: tuple[str, str] = ("", "")
    outcome: Outcome | None = None
    nodes: dict[str, NodeRun] = field(default_factory=dict[str, NodeRun])
    _served: set[str] = field(default_factory=set[str])  # from the cache, and not shown again yet
    _executed: dict[str, None] = field(default_factory=dict[str, None])
    _displays: dict[str, str] = field(default_factory=dict[str, str])
    _state_told: float = 0.0
    _state_changed: bool = False
    _progress_told: dict[str, float] = field(default_factory=dict[str, float])

    def begin(self) -> list[Said]:
        """What is said when a worker takes the job."""
        return [self._lifecycle("execution_start", {})]

    def translate(self, event: Event) -> list[Said | Picture]:
        """What is said of an event; `outcome` is set when it was the last one."""
        match event:
            case NodesCached():
                served = zip(event.nodes, event.classes, strict=False)
                self.nodes |= {node_id: NodeRun(node_id, class_type, cached=1) for node_id, class_type in served}
                self._served = set(self.nodes)
                return [self._lifecycle("execution_cached", {"nodes": list(event.nodes)})]
            case NodeStarted():
                return self._started(event)
            case Progress():
                return self._progress(event)
            case Preview():
                return [Picture({**self._ids(event.node_id), "image_type": event.mime}, event.image)]
            case NodeFinished():
                return self._finished(event)
            case NodeBlocked():
                return [self._blocked(event)]
            case RunSucceeded():
                return self._ended("succeeded", "execution_success", {})
            case RunFailed():
                return self._ended("failed", "execution_error", self._failure(event))
            case RunInterrupted():
                return self._ended("cancelled", "execution_interrupted", self._interruption(event))
            case _:
                return []

    def progress_state(self) -> Said:
        """The table of nodes as a message."""
        nodes = {name: dict(entry) for name, entry in self.state.items()}
        return Said("progress_state", {"prompt_id": self.job_id, "nodes": nodes}, to_all=True, stored=False)

    def _started(self, event: NodeStarted) -> list[Said | Picture]:
        self._displays[event.node_id] = event.display_id
        self.running = event.display_id
        self.last_node = (event.display_id, event.class_type)
        self._enter(event.node_id, 0.0, 1.0, "running")
        executing = {"node": event.node_id, "display_node": event.display_id, "prompt_id": self.job_id}
        return [*self._state_if_due(), Said("executing", executing)]

    def _progress(self, event: Progress) -> list[Said | Picture]:
        self._enter(event.node_id, event.value, event.maximum, "running")
        now = self.clock()
        last = event.value >= event.maximum
        # Steps of a fast sampler would be more messages than a screen has frames.
        if not last and now - self._progress_told.get(event.node_id, 0.0) < _PROGRESS_SECONDS:
            return []
        self._progress_told[event.node_id] = now
        data = {"value": event.value, "max": event.maximum, "prompt_id": self.job_id, "node": event.node_id}
        return [*self._state_if_due(_STATE_SECONDS), Said("progress", data, to_all=True, stored=False)]

    def _finished(self, event: NodeFinished) -> list[Said | Picture]:
        self._displays[event.node_id] = event.display_id
        self._record(event)
        if self.running == event.display_id:
            self.running = None
        said: list[Said | Picture] = []
        is_output = event.node_id in self.output_nodes or event.display_id in self.output_nodes
        if event.ui or (event.cached and is_output):
            shown = dict(event.ui) if event.ui else None
            data = {"node": event.node_id, "display_node": event.display_id, "output": shown, "prompt_id": self.job_id}
            said.append(Said("executed", data))
        if event.ui:
            self.results[event.display_id] = _joined(self.results.get(event.display_id, {}), event.ui)
            self.meta[event.display_id] = self._meta(event.node_id, event.display_id)
        if event.cached and not is_output:
            return said
        maximum = self.state.get(event.node_id, {}).get("max", 1.0)
        self._enter(event.node_id, maximum, maximum, "finished")
        return [*said, *self._state_if_due()]

    def _record(self, event: NodeFinished) -> None:
        """Adds up what a node did: rounds of a loop and the nodes of an expansion count for the node that is shown."""
        own = event.node_id == event.display_id
        run = NodeRun(
            event.display_id,
            event.class_type,
            runs=int(own and not event.cached),
            cached=int(own and event.cached),
            seconds=event.seconds,
            peak_bytes=event.peak_bytes,
            result_bytes=event.result_bytes,
            reason=event.reason if own else "",
            signature=event.signature if own else (),
        )
        before = self.nodes.get(event.display_id)
        # What the cache serves and clients are shown is told of twice: among all such nodes, and by itself.
        again = event.cached and event.node_id in self._served
        self._served.discard(event.node_id)
        self.nodes[event.display_id] = run if before is None or again else before.plus(run)
        self._executed[event.node_id] = None

    def _blocked(self, event: NodeBlocked) -> Said:
        data = {
            "prompt_id": self.job_id,
            "node_id": event.node_id,
            "node_type": event.class_type,
            "executed": list(self._executed),
            "exception_message": f"Execution Blocked: {event.message}",
            "exception_type": "ExecutionBlocked",
            "traceback": [],
            "current_inputs": [],
            "current_outputs": [],
        }
        return Said("execution_error", data, to_all=True)

    def _ended(self, state: Any, kind: str, data: dict[str, Any]) -> list[Said | Picture]:
        late: list[Said | Picture] = [self.progress_state()] if self._state_changed else []
        self.running = None
        said = self._lifecycle(kind, data, to_all=kind == "execution_interrupted")
        error = dict(said.data) if state == "failed" else None
        self.outcome = Outcome(state, self.results, self.meta, self.messages, error)
        return [*late, said]

    def _failure(self, event: RunFailed) -> dict[str, Any]:
        message = f"{event.message}\n{event.remedy}" if event.remedy else event.message
        return {
            "node_id": self._displays.get(event.node_id, event.node_id),
            "node_type": event.class_type,
            "executed": list(event.executed or self._executed),
            "exception_message": message,
            "exception_type": event.exception_type,
            "traceback": list(event.traceback),
            "current_inputs": dict(event.current_inputs),
            "current_outputs": list(self.node_ids()),
            "remedy": event.remedy,
            "input_name": event.input_name,
        }

    def _interruption(self, event: RunInterrupted) -> dict[str, Any]:
        display, class_type = self.last_node
        return {
            "node_id": self._displays.get(event.node_id, event.node_id) or display,
            "node_type": event.class_type or class_type,
            "executed": list(event.executed or self._executed),
        }

    def _lifecycle(self, kind: str, data: Mapping[str, Any], *, to_all: bool = False) -> Said:
        said = Said(kind, {"prompt_id": self.job_id, **data, "timestamp": int(self.clock() * 1000)}, to_all=to_all)
        self.messages.append([said.type, said.data])
        return said

    def _enter(self, node_id: str, value: float, maximum: float, state: str) -> None:
        self.state[node_id] = {"value": value, "max": maximum, "state": state, **self._ids(node_id)}
        self._state_changed = True

    def _state_if_due(self, seconds: float = 0.0) -> list[Said]:
        """`progress_state`, unless one was sent too short ago. The table grows with the run, so that sending it with
        every node would cost the square of the graph's size."""
        if len(self.state) > _SMALL_GRAPH:
            seconds = max(seconds, len(self.state) * _SECONDS_PER_NODE)
        now = self.clock()
        if now - self._state_told < seconds:
            return []
        self._state_told, self._state_changed = now, False
        return [self.progress_state()]

    def _ids(self, node_id: str) -> dict[str, Any]:
        meta = self._meta(node_id, self._displays.get(node_id, node_id))
        return {
            "node_id": node_id,
            "prompt_id": self.job_id,
            "display_node_id": meta["display_node"],
            "parent_node_id": meta["parent_node"],
            "real_node_id": meta["real_node_id"],
        }

    def _meta(self, node_id: str, display_id: str) -> dict[str, Any]:
        parent = display_id if display_id != node_id else None
        return {"node_id": node_id, "display_node": display_id, "parent_node": parent, "real_node_id": display_id}


def _joined(before: Mapping[str, Any], ui: Mapping[str, Any]) -> dict[str, Any]:
    """What a node shows, after what it has shown in earlier rounds of a loop."""
    return {**before, **{key: [*before.get(key, ()), *items] for key, items in ui.items()}}

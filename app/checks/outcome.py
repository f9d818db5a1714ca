"""What a run did, as far as tests ask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.engine.events import Event, NodeFinished, NodesCached, RunFailed, RunInterrupted
from app.graph.json_values import is_object


@dataclass(slots=True)
class Outcome:
    """Collects events. `problem` is (node, message), "" for a run that went well; nodes are those that users know."""

    folders: Mapping[str, Path] = field(default_factory=dict[str, Path])
    problem: tuple[str, str] | None = None
    seconds: float = 0.0
    known: set[str] = field(default_factory=set[str])
    cached: set[str] = field(default_factory=set[str])
    runs: dict[str, int] = field(default_factory=dict[str, int])
    node_seconds: dict[str, float] = field(default_factory=dict[str, float])
    peaks: dict[str, int] = field(default_factory=dict[str, int])
    images: dict[str, list[Path]] = field(default_factory=dict[str, list[Path]])
    texts: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def hear(self, event: Event) -> None:
        """Takes in one event; files in it are published already."""
        if isinstance(event, NodesCached):
            self.cached.update(event.nodes)
        elif isinstance(event, NodeFinished):
            self._finished(event)
        elif isinstance(event, RunFailed):
            self.problem = event.node_id, f"{event.message} {event.remedy}".strip()
        elif isinstance(event, RunInterrupted):
            self.problem = event.node_id, "The run was interrupted."

    def _finished(self, event: NodeFinished) -> None:
        node_id = event.display_id
        if event.cached:
            self.cached.add(node_id)
        else:
            self.cached.discard(node_id)
            self.runs[node_id] = self.runs.get(node_id, 0) + 1
        self.node_seconds[node_id] = self.node_seconds.get(node_id, 0.0) + event.seconds
        self.peaks[node_id] = max(self.peaks.get(node_id, 0), event.peak_bytes)
        for name, entries in (event.ui or {}).items():
            if name == "text":
                self.texts.setdefault(node_id, []).extend(str(entry) for entry in entries)
            self.images.setdefault(node_id, []).extend(self._paths(entries))

    def _paths(self, entries: Iterable[Any]) -> Iterable[Path]:
        for entry in entries:
            if is_object(entry) and "filename" in entry:
                folder = self.folders.get(str(entry.get("type", "output")), Path())
                yield folder / str(entry.get("subfolder", "")) / str(entry["filename"])

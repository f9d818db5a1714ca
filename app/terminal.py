"""A run as lines and a bar of progress, for people at a terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO, cast

from app.engine.events import Event, NodeFinished, NodeStarted, Progress, RunFailed, RunInterrupted
from app.errors import AppError, InvalidPrompt

WIDTH = 24
SECONDS_BETWEEN = 0.1


@dataclass(slots=True)
class RunReport:
    """Writes what happens in a run to `stream`; the bar only where that is a terminal."""

    stream: TextIO
    quiet: bool = False
    _kind: str = ""
    _shown: bool = False
    _last: float = field(default=float("-inf"))

    def hear(self, event: Event) -> None:
        """Tell one event."""
        if isinstance(event, NodeStarted):
            self._kind = event.class_type
        elif isinstance(event, Progress):
            self._bar(event)
        elif isinstance(event, NodeFinished) and not event.cached:
            self._say(f"{event.class_type} {event.seconds:.2f} s")
        elif isinstance(event, RunFailed):
            self._clear()
            self.stream.write(failure_text(event) + "\n")
        elif isinstance(event, RunInterrupted):
            self._say("stopped")

    def _say(self, text: str) -> None:
        if not self.quiet:
            self._clear()
            self.stream.write(f"{text}\n")
            self.stream.flush()

    def _bar(self, event: Progress) -> None:
        now = time.monotonic()
        ended = event.value >= event.maximum
        if self.quiet or not self.stream.isatty() or (now - self._last < SECONDS_BETWEEN and not ended):
            return
        self._last, self._shown = now, True
        filled = round(WIDTH * event.value / event.maximum) if event.maximum else WIDTH
        bar = "█" * filled + "·" * (WIDTH - filled)
        self.stream.write(f"\r{self._kind} {bar} {event.value:g}/{event.maximum:g}")
        self.stream.flush()

    def _clear(self) -> None:
        if self._shown:
            self.stream.write("\r\x1b[2K")
            self._shown = False


def failure_text(event: RunFailed) -> str:
    """A failed run in words: the node and the input to blame, what is wrong, the way out, what the node was given."""
    which = f", input {event.input_name}" if event.input_name else ""
    where = f"Node {event.node_id} ({event.class_type}){which}: " if event.node_id else ""
    told = [f"{where}{event.message}", *([event.remedy] if event.remedy else [])]
    given = {name: values[0] for name, values in event.current_inputs.items() if len(values) == 1}
    if given:
        told.append("It was given " + ", ".join(f"{name}={value!r}" for name, value in given.items()) + ".")
    return "\n".join(told)


def error_text(error: AppError) -> str:
    """An error in words; for a graph that cannot run, each node's complaints with their ways out."""
    told = [str(error)]
    errors = error.node_errors if isinstance(error, InvalidPrompt) else {}
    for node_id, said in errors.items():
        told += [_complaint(node_id, said, complaint) for complaint in cast("list[Any]", said["errors"])]
    return "\n".join(told)


def _complaint(node_id: str, said: Mapping[str, Any], complaint: Mapping[str, Any]) -> str:
    remedy = complaint["extra_info"].get("remedy", "")
    details = f": {complaint['details']}" if complaint["details"] else ""
    return f"Node {node_id} ({said['class_type']}): {complaint['message']}{details}. {remedy}".strip()

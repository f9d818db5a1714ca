"""What a node's body may hand back, besides plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Returned:
    """What one call of a node gives back.

    `values` has one entry per output port; `ui` is the dict of lists that clients are shown;
    `expand` is a graph in prompt form that takes the node's place, `values` then may hold links into it
    (`Link`, or the JSON pair of id and slot).
    `again`, from the end of a loop, asks for another round; it is what the end gets as its hidden input CARRIED then.
    """

    values: tuple[Any, ...] = ()
    ui: Mapping[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    expand: Mapping[str, Any] | None = None
    again: Any = None


@dataclass(frozen=True, slots=True)
class Blocker:
    """A value that stops whatever would read it: the reader is not run and passes a silent blocker on.

    With a message, the first reader is reported to the clients. The run goes on and does not fail.
    """

    message: str | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """Stands where a node gave fewer values than it has outputs; reading it is an error, and nobody else sees it."""


@dataclass(frozen=True, slots=True)
class LoopState:
    """What the begin of a loop tells its end: whether this round is run, its number from 0, and of how many.

    `values` are what the loop's values are at the start of the round, a list of values each.
    """

    running: bool
    round: int = 0
    total: int | None = None
    values: tuple[list[Any], ...] = ()

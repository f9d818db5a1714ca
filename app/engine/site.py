"""What a run is told from outside, and what it tells of one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.graph.replacements import Replacements

Meter = Callable[[], Callable[[], int]]


class CallSite(NamedTuple):
    """Which call of which node.

    `node_id` is the running node, as in the events; `display_id` is where clients show it; `unique_id` is what the
    node sees as UNIQUE_ID (the same as `node_id`); `list_index` counts the calls of one node.
    """

    node_id: str
    class_type: str
    display_id: str
    unique_id: str
    list_index: int


def no_meter() -> Callable[[], int]:
    """Measures nothing."""
    return lambda: 0


def no_replacements() -> Replacements:
    """Nothing stands in for anything."""
    return {}


@dataclass(frozen=True, slots=True)
class RunExtras:
    """What hidden inputs are given, and the meter of memory.

    `prompt` is the prompt as JSON data, by default what the run was given; `secrets` are hidden inputs by kind, such
    as AUTH_TOKEN_COMFY_ORG. `meter` starts a measurement and gives the function that ends it with the peak in bytes.
    `replacements` tells what stands in for classes of before, for nodes that expand to them.
    """

    prompt: Mapping[str, Any] | None = None
    extra_pnginfo: Mapping[str, Any] | None = None
    secrets: Mapping[str, str] = field(default_factory=dict[str, str])
    meter: Meter = no_meter
    replacements: Callable[[], Replacements] = no_replacements

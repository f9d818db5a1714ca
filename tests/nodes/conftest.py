"""Nodes are called as the engine calls them: by name, with a context, on plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.engine.events import Event
from app.engine.node import Returned
from app.engine.site import CallSite
from app.settings import Settings
from app.wiring import Workshop


@dataclass
class Bench:
    """A workshop, and what its nodes have told."""

    workshop: Workshop
    heard: list[Event] = field(default_factory=list)
    stop_after: int | None = None

    def interrupted(self) -> bool:
        """Whether as many events were heard as the test wants."""
        return self.stop_after is not None and len(self.heard) >= self.stop_after

    def returned(self, node_id: str, **inputs: Any) -> Returned:
        """What a node gives back; inputs that are left out have their defaults, a combo's is its first option."""
        node = self.workshop.nodes[node_id]
        given = {port.name: port.options["default"] for port in node.spec.inputs if "default" in port.options}
        combos = {port.name: port.type[0] for port in node.spec.inputs if isinstance(port.type, tuple) and port.type}
        site = CallSite("1", node_id, "1", "1", 0)
        context = self.workshop.context(site, self.heard.append, self.interrupted)
        result = node.call(context, {**combos, **given, **inputs})
        assert isinstance(result, Returned)
        assert len(result.values) == len(node.spec.outputs)
        return result

    def __call__(self, node_id: str, **inputs: Any) -> Any:
        """The node's output, or a tuple of several."""
        values = self.returned(node_id, **inputs).values
        return values[0] if len(values) == 1 else values


@pytest.fixture
def bench(installation: Settings) -> Bench:
    """A bench in a fresh installation."""
    return Bench(Workshop.build(installation))


Call = Callable[..., Any]

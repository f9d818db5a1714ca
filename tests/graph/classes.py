"""Node classes for the examples in tests/data/workflows: facts of built-in nodes in the form of `GET /object_info`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app.graph.dynamic_inputs import DYNAMIC
from app.graph.spec import InputSpec, NodeSpec, OutputSpec

FOLDER = Path(__file__).parent.parent / "data" / "workflows"


def node_specs() -> dict[str, NodeSpec]:
    """Every class of the examples by its id."""
    catalogue: dict[str, Any] = json.loads((FOLDER / "classes.json").read_text())
    return {
        name: NodeSpec(
            name,
            tuple(_inputs(entry["input"])),
            tuple(OutputSpec(label, kind) for label, kind in zip(entry["output_name"], entry["output"], strict=True)),
            display_name=entry.get("display_name", name),
            output_node=entry.get("output_node", False),
            accepts_any_input=any(port.type in DYNAMIC for port in _inputs(entry["input"])),
        )
        for name, entry in catalogue.items()
    }


def _inputs(sections: Mapping[str, Any]) -> Iterator[InputSpec]:
    for section in ("required", "optional"):
        for name, (kind, *options) in sections.get(section, {}).items():
            port = kind if isinstance(kind, str) else tuple(kind)
            yield InputSpec(name, port, section, options[0] if options else {})

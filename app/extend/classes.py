"""The node classes that a pack's module offers, of either style."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from app.engine.node import Node
from app.extend.bridge import PackHost, PlainHost
from app.extend.hooks import settled
from app.extend.v1 import V1Node, v1_spec
from app.extend.v3 import V3Node, schema_classes, v3_spec


def pack_nodes(
    module: ModuleType, name: str, host: PackHost | None = None, problems: list[str] | None = None
) -> dict[str, Node]:
    """The classes in the module's NODE_CLASS_MAPPINGS, or without one those that its entry point gives.

    A class that cannot be used is told in `problems` and left out; without that list it raises.

    Raises:
        TypeError: a class that lacks what a node needs; and whatever the pack's code raises.
    """
    titles: Mapping[Any, Any] = getattr(module, "NODE_DISPLAY_NAME_MAPPINGS", None) or {}
    classes: Mapping[Any, Any] | None = getattr(module, "NODE_CLASS_MAPPINGS", None)
    if classes is None:
        classes = _from_entry_point(module)
    nodes: dict[str, Node] = {}
    for node_id, kind in classes.items():
        try:
            node = adapted(str(node_id), kind, str(titles.get(node_id) or ""), name, host)
            nodes[node.spec.id] = node
        except Exception as error:  # a pack's own code
            if problems is None:
                raise
            problems.append(f"The node class {node_id} cannot be used: {type(error).__name__}: {error}")
    return nodes


def _from_entry_point(module: ModuleType) -> dict[str, Any]:
    entry = getattr(module, "comfy_entrypoint", None)
    if entry is None:
        return {}
    return {kind.__name__: kind for kind in schema_classes(settled(entry()))}


def adapted(node_id: str, kind: type[Any], title: str, module: str, host: PackHost | None = None) -> Node:
    """A class of either style as a node. Raises TypeError as `v1_spec` and `v3_spec` do."""
    host = host or PlainHost()
    kind.RELATIVE_PYTHON_MODULE = module
    if hasattr(kind, "define_schema"):
        return V3Node(v3_spec(kind, title, module, host), kind, host)
    return V1Node(v1_spec(node_id, kind, title, module, host), kind, host)


def classes_of(nodes: Mapping[str, Node]) -> dict[str, Any]:
    """The classes behind adapted nodes."""
    return {name: node.kind for name, node in nodes.items() if isinstance(node, V1Node | V3Node)}

"""`comfy_execution.graph`: the graph that runs, and the value that stops it."""

from __future__ import annotations

from app.engine.dynamic import DynamicPrompt
from app.engine.node import Blocker as ExecutionBlocker
from app.extend.facade.comfy_execution.graph_utils import is_link

__all__ = [
    "DependencyCycleError",
    "DynamicPrompt",
    "ExecutionBlocker",
    "NodeInputError",
    "NodeNotFoundError",
    "is_link",
]


class DependencyCycleError(Exception):
    """Nodes that wait for each other."""


class NodeInputError(Exception):
    """A node asked for an input that it does not have."""


class NodeNotFoundError(Exception):
    """A link to a node that does not exist."""

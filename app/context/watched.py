"""Nodes that read files are run again when the files have changed."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.context.models import stamp_of
from app.engine.node import Node, Returned
from app.errors import AppError
from app.store.folders import Folders


def watched(node: Node, folders: Folders) -> Node:
    """The node itself, or if it has inputs that name files, one that is as good as new when they have changed."""
    reads_files = any(port.folder for port in node.spec.inputs)
    return Watched(node, folders) if reads_files else node


class Watched:
    """A node whose fingerprint holds the times and sizes of the files that its inputs name."""

    def __init__(self, node: Node, folders: Folders):
        self.spec = replace(node.spec, has_fingerprint=True)
        self._node = node
        self._own = node.spec.has_fingerprint
        self._folders = folders

    def call(self, context: Any, inputs: Mapping[str, Any]) -> Returned | Awaitable[Returned]:
        """See `engine.node.Node`."""
        return self._node.call(context, inputs)

    def fingerprint(self, inputs: Mapping[str, Any]) -> Any:
        """The node's own, if it has one, and the state of each file; a missing one is told by the run."""
        stamps = [self._stamp(port.folder, inputs.get(port.name)) for port in self.spec.inputs if port.folder]
        return [self._node.fingerprint(inputs) if self._own else None, stamps]

    def validate(self, inputs: Mapping[str, Any], received_types: Mapping[str, str]) -> str | None:
        """See `engine.node.Node`."""
        return self._node.validate(inputs, received_types)

    def needed(self, inputs: Mapping[str, Any]) -> Sequence[str]:
        """See `engine.node.Node`."""
        return self._node.needed(inputs)

    def _stamp(self, folder: str, name: object) -> list[Any] | None:
        if not isinstance(name, str):
            return None
        try:
            path, *facts = stamp_of(self._path(folder, name))
        except (AppError, OSError):
            return None
        return [str(path), *facts]

    def _path(self, folder: str, name: str) -> Path:
        return self._folders.annotated(name) if folder == "input" else self._folders.model(folder, name)

"""Nodes that read files are run again when the files have changed; prompts that call embeddings by name do too."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from app.context.models import stamp_of
from app.engine.node import Node, Returned
from app.errors import AppError
from app.graph.spec import InputSpec
from app.graph.types import COMBO
from app.store.folders import INPUT_FOLDERS, Folders

CALL = "embedding:"


def watched(node: Node, folders: Folders) -> Node:
    """The node itself, or if its inputs may name files, one that is as good as new when they have changed."""
    types = {port.type for port in node.spec.inputs}
    reads_files = any(folder_of(port) for port in node.spec.inputs)
    return Watched(node, folders) if reads_files or {"CLIP", "STRING"} <= types else node


class Watched:
    """A node whose fingerprint holds the times and sizes of the files that its inputs name.

    A prompt that names an embedding, or is not known before the run, stands for all embeddings that there are.
    """

    def __init__(self, node: Node, folders: Folders):
        self.spec = replace(node.spec, has_fingerprint=True)
        self._node = node
        self._own = node.spec.has_fingerprint
        self._folders = folders
        texts = [port.name for port in node.spec.inputs if port.type == "STRING"]
        self._prompts = texts if any(port.type == "CLIP" for port in node.spec.inputs) else []

    def call(self, context: Any, inputs: Mapping[str, Any]) -> Returned | Awaitable[Returned]:
        """See `engine.node.Node`."""
        return self._node.call(context, inputs)

    def fingerprint(self, inputs: Mapping[str, Any]) -> Any:
        """The node's own, if it has one, and the state of each file; a missing one is told by the run."""
        stamps = [
            self._stamp(folder, inputs.get(port.name)) for port in self.spec.inputs if (folder := folder_of(port))
        ]
        if any(may_name_embeddings(inputs[name]) for name in self._prompts if name in inputs):
            stamps += [self._stamp("embeddings", name) for name in self._folders.names("embeddings")]
        return [self._node.fingerprint(inputs) if self._own else None, stamps]

    def validate(self, inputs: Mapping[str, Any], received_types: Mapping[str, str]) -> str | None:
        """See `engine.node.Node`."""
        return self._node.validate(inputs, received_types)

    def needed(self, inputs: Mapping[str, Any], node_id: str = "") -> Sequence[str]:
        """See `engine.node.Node`."""
        return self._node.needed(inputs, node_id)

    def _stamp(self, folder: str, name: object) -> list[Any] | None:
        if not isinstance(name, str):
            return None
        try:
            if folder == INPUT_FOLDERS:
                names = [each for each in self._folders.names("input") if each.startswith(f"{name}/")]
                return [self._stamp("input", each) for each in names]
            path, *facts = stamp_of(self._path(folder, name))
        except (AppError, OSError):
            return None
        return [str(path), *facts]

    def _path(self, folder: str, name: str) -> Path:
        if folder in ("input", "output"):
            return self._folders.annotated(name, folder)
        return self._folders.model(folder, name)


def folder_of(port: InputSpec) -> str | None:
    """The folder that an input names files in: that which its combo lists, or lets the editor ask for."""
    asked = port.options.get("image_folder") if port.type == COMBO else None
    return port.folder or (str(asked) if asked in ("input", "output") else None)


def may_name_embeddings(prompt: object) -> bool:
    """Whether a prompt calls an embedding, or is not known yet; a list stands for all that is in it."""
    if isinstance(prompt, list):
        return any(may_name_embeddings(part) for part in cast("list[object]", prompt))
    return prompt is None or (isinstance(prompt, str) and CALL in prompt)

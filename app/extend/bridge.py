"""What stands between the engine's values and the values that packs of the reference's style expect."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from app.engine.node import Node


class PackHost(Protocol):
    """The program as packs see it."""

    def open(self, nodes: Mapping[str, Node]) -> Mapping[str, Node]:
        """Make the names that packs import importable; `nodes` are the built-in ones. Called before the first pack.

        Gives nodes that the host brings itself, for classes that packs expect and nobody else has.
        """
        ...

    def added(self, nodes: Mapping[str, Node], classes: Mapping[str, Any]) -> None:
        """Packs have brought these nodes, and these classes in their own style."""
        ...

    def enter(self, context: Any) -> AbstractContextManager[None]:
        """Inside, code of a pack runs as the body of the node whose context this is."""
        ...

    def to_pack(self, value: Any) -> Any:
        """A value of the engine as packs know it."""
        ...

    def from_pack(self, value: Any) -> Any:
        """The inverse of `to_pack`."""
        ...

    def folder_of(self, options: Any) -> str | None:
        """The kind of folder whose files these options of a combo are, None for other options."""
        ...


class PlainHost:
    """Packs that need nothing of the program: values pass as they are."""

    def open(self, nodes: Mapping[str, Node]) -> Mapping[str, Node]:
        """See `PackHost`."""
        return {}

    def added(self, nodes: Mapping[str, Node], classes: Mapping[str, Any]) -> None:
        """See `PackHost`."""

    def enter(self, context: Any) -> AbstractContextManager[None]:
        """See `PackHost`."""
        return nullcontext()

    def to_pack(self, value: Any) -> Any:
        """See `PackHost`."""
        return value

    def from_pack(self, value: Any) -> Any:
        """See `PackHost`."""
        return value

    def folder_of(self, options: Any) -> str | None:
        """See `PackHost`."""
        return None

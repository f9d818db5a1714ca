"""What stands between the engine's values and the values that packs of the reference's style expect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from app.engine.node import Node

Tell = Callable[[str | int, Any, str | None], None]


class PackHost(Protocol):
    """The program as packs see it."""

    def open(self, nodes: Mapping[str, Node]) -> None:
        """Make the names that packs import importable; `nodes` are the built-in ones. Called before the first pack."""
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


class PackDesk(PackHost, Protocol):
    """A host that serves packs while a process works."""

    def serve(self, secret: str) -> None:
        """Serve packs' routes to whoever shows the secret."""
        ...

    def tell_through(self, tell: Tell) -> None:
        """From now on what packs say goes out by `tell(event, data, client)`."""
        ...

    def hello(self) -> dict[str, Any]:
        """What the server is told of packs' routes and folders."""
        ...

    def at_work(self, job_id: str, client_id: str | None) -> AbstractContextManager[None]:
        """Inside, a job runs."""
        ...

    def stops(self, interrupted: Callable[[], bool]) -> Callable[[], bool]:
        """The same question, answered yes as well when a pack has asked for the run to end."""
        ...


class PlainHost:
    """Packs that need nothing of the program: values pass as they are. Also the host where there are no packs."""

    def open(self, nodes: Mapping[str, Node]) -> None:
        """See `PackHost`."""

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

    def serve(self, secret: str) -> None:
        """See `PackDesk`."""

    def tell_through(self, tell: Tell) -> None:
        """See `PackDesk`."""

    def hello(self) -> dict[str, Any]:
        """See `PackDesk`."""
        return {"routes": [], "address": "", "handlers": 0, "folders": {}}

    def at_work(self, job_id: str, client_id: str | None) -> AbstractContextManager[None]:
        """See `PackDesk`."""
        return nullcontext()

    def stops(self, interrupted: Callable[[], bool]) -> Callable[[], bool]:
        """See `PackDesk`."""
        return interrupted

"""The process as packs see it: its folders, its device, and the call that runs.

Packs were written for one program per process and reach it through module attributes; `HOST` is the one place where
the facade keeps that.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from app.context.context import NodeContext
from app.engine.node import Node
from app.errors import Unavailable
from app.extend.bridge import Tell
from app.graph.replacements import Replacement
from app.memory.residency import Residency
from app.store.folders import Folders


def _unheard(event: str | int, data: Any, to: str | None) -> None:
    """Without a server there is nobody to tell."""


@dataclass(slots=True)
class Launch:
    """What the command line said, as far as packs ask."""

    listen: str = "127.0.0.1"
    port: int = 8188
    preview_method: str = "auto"
    base_directory: str = ""
    disable_metadata: bool = False


@dataclass(slots=True)
class CurrentJob:
    """The job that runs now, "" and None between jobs."""

    job_id: str = ""
    client_id: str | None = None
    node_id: str | None = None

    def take(self, **said: str | None) -> None:
        """Packs may put other ids here, which others of them read."""
        for name, value in said.items():
            setattr(self, name, value)


@dataclass(slots=True)
class Host:
    """What the facade works on.

    `nodes` are all nodes, `classes` what packs find in NODE_CLASS_MAPPINGS; `tell(event, data, client)` reaches the
    sockets of clients; `interrupted` is asked by progress bars.
    """

    folders: Folders
    device: torch.device
    residency: Residency
    launch: Launch = field(default_factory=Launch)
    tell: Tell = _unheard
    nodes: dict[str, Node] = field(default_factory=dict[str, Node])
    classes: dict[str, Any] = field(default_factory=dict[str, Any])
    titles: dict[str, str] = field(default_factory=dict[str, str])
    replacements: list[Replacement] = field(default_factory=list[Replacement])  # of packs' old classes
    job: CurrentJob = field(default_factory=CurrentJob)
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])  # packs' changes to facade modules
    stop: threading.Event = field(default_factory=threading.Event)  # a pack asked for the run to end
    last: NodeContext | None = None  # of the call that began last, for threads that packs start

    def move(self, kind: str, path: str) -> None:
        """Let a directory, input, output, temp or user, be elsewhere as far as packs are concerned."""
        setattr(self.folders, kind, Path(path))


class _Slot:
    """Holds the host of this process."""

    def __init__(self) -> None:
        self._host: Host | None = None

    def put(self, host: Host | None) -> None:
        """From now on the facade works on this host."""
        self._host = host

    @property
    def now(self) -> Host:
        """The host.

        Raises:
            Unavailable: packs are used where none was installed.
        """
        if self._host is None:
            raise Unavailable("No host for packs is installed.", remedy="Run packs in a worker, or call install first.")
        return self._host


HOST = _Slot()
_CALL: ContextVar[NodeContext | None] = ContextVar("running node", default=None)
_GRAPHS: ContextVar[list[None] | None] = ContextVar("graphs that the running call has built", default=None)


@contextmanager
def running(context: NodeContext | None) -> Generator[None]:
    """Inside, progress and cancellation belong to the node of this context."""
    host, token, graphs = HOST.now, _CALL.set(context), _GRAPHS.set([])
    if context is not None:
        host.last, host.job.node_id = context, context.node_id
    try:
        yield
    finally:
        _CALL.reset(token)
        _GRAPHS.reset(graphs)


def current_context() -> NodeContext | None:
    """The context of the node that runs; in a thread of a pack's own, that of the node that began last."""
    return _CALL.get() or HOST.now.last


def graph_place() -> tuple[str, int, int]:
    """(node, which of its calls, which graph of the call) for a graph that is built now; the next one has another."""
    context, graphs = current_context(), _GRAPHS.get()
    number = 0 if graphs is None else len(graphs)
    if graphs is not None:
        graphs.append(None)
    return ("", 0, number) if context is None else (context.node_id, context.list_index, number)

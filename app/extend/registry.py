"""All nodes by class name, and which packs could not be loaded."""

from __future__ import annotations

import importlib
import pkgutil
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from app.engine.node import Node
from app.extend.packs import find_packs, import_pack
from app.extend.v1 import v1_nodes
from app.graph.declaration import FunctionNode


@dataclass(frozen=True, slots=True)
class PackReport:
    """How loading a pack went. `error` is "" for success; `remedy` the way out."""

    name: str
    seconds: float
    nodes: tuple[str, ...] = ()
    error: str = ""
    remedy: str = ""
    traceback: str = ""

    def failure(self) -> dict[str, str]:
        """The entry that a worker tells the server."""
        return {"name": self.name, "message": f"{self.error} {self.remedy}".strip(), "traceback": self.traceback}


@dataclass(frozen=True)
class Registry:
    """Nodes by id. Class names of built-in nodes cannot be taken by packs; between packs the later one wins."""

    nodes: Mapping[str, Node] = field(default_factory=dict[str, Node])
    packs: tuple[PackReport, ...] = ()

    @property
    def failures(self) -> tuple[dict[str, str], ...]:
        """The packs that could not be loaded."""
        return tuple(pack.failure() for pack in self.packs if pack.error)

    @classmethod
    def load(cls, builtin: str = "nodes", packs: Sequence[Path] = ()) -> Registry:
        """The nodes of the package `builtin`, and those of every pack in the folders `packs`.

        A pack that fails is reported and left out. Nothing is reported for folders that are not there.

        Raises:
            TypeError: two built-in nodes with one id.
        """
        nodes = _builtin_nodes(builtin)
        known = frozenset(nodes)
        reports: list[PackReport] = []
        for path in find_packs(packs):
            found, report = _load_pack(path)
            added = {name: node for name, node in found.items() if name not in known}
            nodes.update(added)
            reports.append(replace(report, nodes=tuple(added)))
        return cls(MappingProxyType(nodes), tuple(reports))


def _builtin_nodes(package: str) -> dict[str, Node]:
    root = importlib.import_module(package)
    nodes: dict[str, Node] = {}
    for module in sorted(pkgutil.iter_modules(root.__path__), key=lambda found: found.name):
        for node in function_nodes(importlib.import_module(f"{package}.{module.name}")):
            if node.spec.id in nodes:
                raise TypeError(f"{package}.{module.name}: a node with the id {node.spec.id} exists already.")
            nodes[node.spec.id] = node
    return nodes


def function_nodes(module: ModuleType) -> Iterable[FunctionNode]:
    """The nodes that a module declares, in order; what it imported from elsewhere is not its own."""
    return (
        value
        for value in vars(module).values()
        if isinstance(value, FunctionNode) and value.body.__module__ == module.__name__
    )


def _load_pack(path: Path) -> tuple[dict[str, Node], PackReport]:
    """A pack's nodes and how it went; whatever its code raises is its failure, never ours."""
    began = time.perf_counter()
    name = path.stem if path.is_file() else path.name
    try:
        module = import_pack(path)
        nodes = _nodes_of(module, f"custom_nodes.{name}")
        problem = "" if nodes else "The pack declares no nodes that can be used."
        remedy = "It needs NODE_CLASS_MAPPINGS, or functions decorated with app.api.node." if problem else ""
        return nodes, PackReport(name, time.perf_counter() - began, error=problem, remedy=remedy)
    except (Exception, SystemExit) as error:  # a pack may raise anything when it is imported
        told = f"{type(error).__name__}: {error}"
        report = PackReport(
            name,
            time.perf_counter() - began,
            error=f"The pack {name} could not be loaded: {told}",
            remedy=_remedy(error, path),
            traceback="".join(traceback.format_exception(error)),
        )
        return {}, report


def _nodes_of(module: ModuleType, name: str) -> dict[str, Node]:
    native: dict[str, Node] = {node.spec.id: node for node in function_nodes(module)}
    for node in native.values():
        node.spec = replace(node.spec, module=name)
    return {**native, **v1_nodes(module, name)}


def _remedy(error: BaseException, path: Path) -> str:
    if isinstance(error, ModuleNotFoundError):
        wanted: Any = error.name
        needs = path / "requirements.txt"
        how = f"pip install -r {needs}" if needs.is_file() else f"pip install {wanted}"
        return f"Install what it needs ({how}) and restart, or remove it."
    return "Update the pack, or remove it from custom_nodes; --no-custom-nodes starts without any."

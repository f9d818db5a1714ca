"""All nodes by class name, and how loading each pack went."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import sys
import time
import traceback
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from app.engine.node import Node
from app.extend.bridge import PackHost, PlainHost
from app.extend.classes import classes_of, pack_nodes
from app.extend.packs import find_packs, import_pack, missing_requirements, pack_name, web_folder
from app.graph.declaration import FunctionNode

OWN_NAMES = ("comfy", "comfy_api", "comfy_execution", "comfy_extras")


@dataclass(frozen=True, slots=True)
class PackReport:
    """How loading a pack went. `error` is "" for success; `remedy` the way out.

    `problems` tells of single classes that could not be used, `web` is (name in URLs, folder) of its scripts.
    """

    name: str
    seconds: float
    nodes: tuple[str, ...] = ()
    error: str = ""
    remedy: str = ""
    traceback: str = ""
    problems: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    path: str = ""
    web: tuple[str, str] | None = None

    def failure(self) -> dict[str, str]:
        """The entry that a worker tells the server."""
        return {"name": self.name, "message": f"{self.error} {self.remedy}".strip(), "traceback": self.traceback}

    def to_json(self) -> dict[str, Any]:
        """The entry of the list of packs."""
        return {
            "name": self.name,
            "path": self.path,
            "loaded": not self.error,
            "seconds": round(self.seconds, 4),
            "nodes": list(self.nodes),
            "error": self.error,
            "remedy": self.remedy,
            "traceback": self.traceback,
            "problems": list(self.problems),
            "missing": list(self.missing),
            "web": list(self.web) if self.web else None,
        }


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
    def load(
        cls,
        builtin: str = "nodes",
        packs: Sequence[Path] = (),
        host: PackHost | None = None,
        disabled: Collection[str] = (),
        prestart: Mapping[str, str] | None = None,
    ) -> Registry:
        """The nodes of the package `builtin`, and those of every pack in the folders `packs`.

        A pack that fails is reported and left out; one in `disabled` is not looked at. Nothing is reported for
        folders that are not there. `prestart` are packs whose prestart script failed, with the reason.

        Raises:
            TypeError: two built-in nodes with one id.
        """
        host = host or PlainHost()
        nodes = _builtin_nodes(builtin)
        host.open(nodes)
        known = frozenset(nodes)
        reports: list[PackReport] = []
        for path in find_packs(packs):
            if pack_name(path) not in disabled:
                found, report = _load_pack(path, host)
                added = {name: node for name, node in found.items() if name not in known}
                nodes.update(added)
                host.added(added, classes_of(added))
                failed = (prestart or {}).get(pack_name(path))
                problems = (*((_prestart_failed(failed),) if failed else ()), *report.problems)
                reports.append(replace(report, nodes=tuple(added), problems=problems))
        return cls(MappingProxyType(nodes), tuple(reports))


def _prestart_failed(reason: str) -> str:
    return f"Its prestartup_script.py failed: {reason}. What it was to prepare is missing; update the pack."


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


def _load_pack(path: Path, host: PackHost) -> tuple[dict[str, Node], PackReport]:
    """A pack's nodes and how it went; whatever its code raises is its failure, never ours."""
    began = time.perf_counter()
    name = pack_name(path)
    try:
        # What packs print would stand among the paths that `run` writes.
        with contextlib.redirect_stdout(sys.stderr):
            module = import_pack(path)
            problems: list[str] = []
            nodes = _nodes_of(module, f"custom_nodes.{name}", host, problems)
        report = PackReport(name, time.perf_counter() - began, problems=tuple(problems), path=str(path))
        web = web_folder(path, module)
        report = replace(report, web=(web[0], str(web[1])) if web else None)
        if not nodes and not (web and hasattr(module, "NODE_CLASS_MAPPINGS")):
            told = problems[0] if problems else "The pack declares no nodes that can be used."
            remedy = "It needs NODE_CLASS_MAPPINGS, comfy_entrypoint, or functions decorated with app.api.node."
            report = replace(report, error=told, remedy="" if problems else remedy)
        return nodes, report
    except (Exception, SystemExit) as error:  # a pack may raise anything when it is imported
        missing = missing_requirements(path)
        report = PackReport(
            name,
            time.perf_counter() - began,
            error=f"The pack {name} could not be loaded: {type(error).__name__}: {error}",
            remedy=_remedy(error, path, missing),
            traceback="".join(traceback.format_exception(error)),
            missing=tuple(missing),
            path=str(path),
        )
        return {}, report


def _nodes_of(module: ModuleType, name: str, host: PackHost, problems: list[str]) -> dict[str, Node]:
    native: dict[str, Node] = {node.spec.id: node for node in function_nodes(module)}
    for node in native.values():
        node.spec = replace(node.spec, module=name)
    return {**native, **pack_nodes(module, name, host, problems)}


def _remedy(error: BaseException, path: Path, missing: Sequence[str]) -> str:
    wanted = str(getattr(error, "name", "") or "")
    if isinstance(error, ImportError) and wanted.partition(".")[0] in OWN_NAMES:
        return f"It uses a part of ComfyUI that this program does not offer ({wanted}); see docs/packs.md."
    if isinstance(error, ModuleNotFoundError):
        needs = path / "requirements.txt"
        how = f"pip install -r {needs}" if needs.is_file() else f"pip install {wanted}"
        named = f" Its requirements lack: {', '.join(missing)}." if missing else ""
        return f"Install what it needs ({how}) and restart, or remove it.{named}"
    return "Update the pack, or remove it from custom_nodes; --no-custom-nodes starts without any."

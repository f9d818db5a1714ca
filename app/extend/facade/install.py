"""Lets packs import the facade's modules under the names that they know."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from app.extend.facade.host import HOST, Host

PACKAGE = __name__.rpartition(".")[0]
NAMES = frozenset(
    {
        "comfy",
        "comfy_api",
        "comfy_execution",
        "comfy_extras",
        "comfyui_version",
        "execution",
        "folder_paths",
        "latent_preview",
        "node_helpers",
        "nodes",
        "server",
    }
)


class FacadeFinder(MetaPathFinder):
    """Finds `comfy.utils` and its like in this package. First in line, as the reference's own folder would be."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module of that name, None for names that are not ours to serve."""
        if fullname.partition(".")[0] not in NAMES:
            return None
        if fullname.startswith("nodes."):
            return None  # parts of the package of built-in nodes
        if fullname.startswith("comfy_extras.nodes_"):
            return ModuleSpec(fullname, _NodeClasses())
        home = f"{PACKAGE}.{fullname}"
        try:
            found = importlib.util.find_spec(home)
        except ModuleNotFoundError:
            return None
        if found is None:
            return None
        return ModuleSpec(fullname, _Alias(home), is_package=found.submodule_search_locations is not None)


class _Alias(Loader):
    """Gives the one module object that lives under another name."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._own: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module itself, imported."""
        module = importlib.import_module(self._home)
        self._own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has run already; the import system has put the alias's spec into it, which goes again."""
        module.__spec__ = self._own


class _NodeClasses(Loader):
    """A module of the reference's further nodes: each class of the registry can be had from any of them."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """A plain module."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Let it look classes up."""

        def look_up(name: str) -> Any:
            nodes = importlib.import_module(f"{PACKAGE}.nodes")
            if name.startswith("__") or name not in nodes.NODE_CLASS_MAPPINGS:
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            return nodes.NODE_CLASS_MAPPINGS[name]

        module.__dict__["__getattr__"] = look_up


def install(host: Host) -> None:
    """From now on packs can be imported in this process. Whatever went by these names before is out of their sight."""
    HOST.put(host)
    if not any(isinstance(finder, FacadeFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, FacadeFinder())
    built_in = sys.modules.get("nodes")
    for name in _taken():
        del sys.modules[name]
    # The program's own package of that name stays reachable through its parts.
    classes = importlib.import_module(f"{PACKAGE}.nodes")
    classes.__path__ = getattr(built_in, "__path__", getattr(classes, "__path__", []))


@contextmanager
def installed(host: Host) -> Generator[None]:
    """As `install`, for as long as the context lasts."""
    before = {name: sys.modules[name] for name in _taken()}
    install(host)
    try:
        yield
    finally:
        for name in _taken():
            del sys.modules[name]
        sys.modules.update(before)
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, FacadeFinder)]
        HOST.put(None)


def _taken() -> list[str]:
    """Modules under our names; parts of the package of built-in nodes stay, whose bodies refer to each other."""
    return [name for name in sys.modules if name.partition(".")[0] in NAMES and not name.startswith("nodes.")]

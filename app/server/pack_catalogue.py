"""What workers tell of node packs: how loading went, which routes and files they bring. Names of files are the
server's to check: a worker only says where a pack lies."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from app.errors import Missing
from app.graph.json_values import is_list, is_object
from app.settings import Settings
from app.store.folders import Folders
from app.store.settings_file import write_atomically

# Folders of a pack that hold workflows to begin with, the first that is there.
EXAMPLES = ("example_workflows", "example", "examples", "workflow", "workflows")
LOCALES = ("main", "nodeDefs", "commands", "settings")
FIRST_WAIT = 15.0  # seconds for the first worker ever to say which packs there are
_LONGEST_LIST = 5000


@dataclass(slots=True)
class PackCatalogue:
    """The packs of this installation, as the last worker told them."""

    folders: Folders
    settings: Settings
    said: Mapping[str, Any] = field(default_factory=dict[str, Any])
    _known: asyncio.Event = field(default_factory=asyncio.Event)
    _patterns: list[tuple[str, re.Pattern[str]]] = field(default_factory=list[tuple[str, re.Pattern[str]]])

    def learn(self, said: Mapping[str, Any]) -> None:
        """Take over what a worker says."""
        self.said = said
        self._patterns = [(str(method).upper(), _pattern(str(path))) for method, path in said.get("routes") or ()]
        folders: Any = said.get("folders")
        for kind, paths in folders.items() if is_object(folders) else ():
            for path in paths if is_list(paths) else ():
                self.folders.add_models_folder(str(kind), Path(str(path)))
        self._known.set()

    async def ready(self) -> None:
        """Wait for the first worker, but not for long, and not where there is none."""
        if self.settings.serve.workers and not self._known.is_set():
            try:
                await asyncio.wait_for(self._known.wait(), FIRST_WAIT)
            except TimeoutError:
                self._known.set()  # one wait is enough

    @property
    def reports(self) -> list[Mapping[str, Any]]:
        """How loading went, pack by pack."""
        return list(self.said.get("packs") or ())

    @property
    def address(self) -> str:
        """Where the worker serves the routes of packs, "" where there are none."""
        return str(self.said.get("address") or "")

    @property
    def handlers(self) -> int:
        """How many functions of packs see posted prompts."""
        return int(self.said.get("handlers") or 0)

    def answers(self, method: str, path: str) -> bool:
        """Whether a pack answers such a request."""
        wanted = ("GET", "*") if method == "HEAD" else (method, "*")
        return any(of in wanted and pattern.fullmatch(path) for of, pattern in self._patterns)

    def web_folders(self) -> dict[str, Path]:
        """The folders of scripts for the page, by their names in URLs."""
        return {str(report["web"][0]): Path(report["web"][1]) for report in self.reports if report.get("web")}

    def places(self) -> dict[str, Path]:
        """The folders of packs by name; single files have none."""
        found = {str(report["name"]): Path(str(report["path"])) for report in self.reports if report.get("path")}
        return {name: path for name, path in found.items() if path.is_dir()}

    def scripts(self) -> list[tuple[str, str]]:
        """(name in URLs, path below it) of every script for the page, sorted."""
        return [
            (name, path.relative_to(root).as_posix())
            for name, root in sorted(self.web_folders().items())
            for path in sorted(_files(root, ".js"))
        ]

    def examples(self) -> dict[str, Path]:
        """The folders of workflows to begin with, by pack."""
        found: dict[str, Path] = {}
        for name, place in sorted(self.places().items()):
            folder = next((place / each for each in EXAMPLES if (place / each).is_dir()), None)
            if folder is not None:
                found[name] = folder
        return found

    def translations(self) -> dict[str, Any]:
        """Texts of all packs by language, in the reference's form."""
        texts: dict[str, Any] = {}
        for _, place in sorted(self.places().items()):
            root = place / "locales"
            for folder in sorted(root.iterdir()) if root.is_dir() else ():
                if folder.is_dir():
                    _merge(texts.setdefault(folder.name, {}), _texts(folder))
        return texts

    # ------------------------------------------------------------ switched off

    @property
    def _file(self) -> Path:
        return self.folders.user / "packs.json"

    def disabled(self) -> set[str]:
        """The packs that the user has switched off."""
        try:
            said: Any = json.loads(self._file.read_text("utf-8"))
            return {str(name) for name in said["disabled"]}
        except (OSError, ValueError, KeyError, TypeError):
            return set()

    def switch(self, name: str, enabled: bool) -> None:
        """Switch a pack on or off, for workers that start from now on.

        Raises:
            Missing: no such pack.
        """
        off = self.disabled()
        if name not in off and name not in self.installed():
            there = ", ".join(sorted(self.installed() | off)[:40]) or "none"
            raise Missing(f"There is no pack {name[:80]!r}.", remedy=f"There are: {there}.")
        off = off - {name} if enabled else off | {name}
        write_atomically(self._file, json.dumps({"disabled": sorted(off)}).encode())

    def installed(self) -> set[str]:
        """The names of what lies in the folders of packs, and of what was loaded."""
        names = {str(report["name"]) for report in self.reports}
        for root in (self.settings.directories.custom_nodes, *self.folders.models.get("custom_nodes", ())):
            for path in root.iterdir() if root.is_dir() else ():
                if (path / "__init__.py").is_file() or (path.is_file() and path.suffix == ".py"):
                    names.add(path.stem if path.is_file() else path.name)
        return {name for name in names if not name.startswith((".", "__"))}


def _pattern(path: str) -> re.Pattern[str]:
    """A route's path, "/a/{name}/{rest:.*}", as an expression; one that cannot be read matches nothing."""
    parts: list[str] = []
    position = 0
    for found in re.finditer(r"\{\w+(?::((?:[^{}]|\{[^{}]*\})*))?\}", path):
        parts += [re.escape(path[position : found.start()]), f"(?:{found[1]})" if found[1] else "[^{}/]+"]
        position = found.end()
    try:
        return re.compile("".join(parts) + re.escape(path[position:]))
    except re.error:
        return re.compile(r"(?!)")


def _files(root: Path, ending: str) -> Iterator[Path]:
    """Files below a folder, so many at most; links that lead out of it are left out."""
    real = root.resolve()
    for count, path in enumerate(root.rglob(f"*{ending}")):
        if count >= _LONGEST_LIST:
            return
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if not hidden and path.is_file() and path.resolve().is_relative_to(real):
            yield path


def _texts(folder: Path) -> dict[str, Any]:
    texts: dict[str, Any] = {}
    for name in LOCALES:
        try:
            said: Any = json.loads((folder / f"{name}.json").read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if is_object(said):
            _merge(texts, said if name == "main" else {name: said})
    return texts


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        there = into.get(key)
        if isinstance(there, dict) and is_object(value):
            _merge(there, value)  # pyright: ignore[reportUnknownArgumentType]
        else:
            into[key] = dict(value) if is_object(value) else value


PACKS = web.AppKey("packs", PackCatalogue)

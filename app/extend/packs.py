"""Finds packs on disk and imports them, each under the module name that its own imports expect."""

from __future__ import annotations

import importlib.util
import json
import logging
import runpy
import sys
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from app.graph.json_values import is_dict

log = logging.getLogger(__name__)

DISABLED = ".disabled"
PRESTART = "prestartup_script.py"


def find_packs(folders: Iterable[Path]) -> Iterator[Path]:
    """Packages (folders with an __init__.py) and single .py files, sorted by name; disabled ones are left out."""
    for folder in folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            hidden = path.name.startswith((".", "__pycache__")) or path.name.endswith(DISABLED)
            if not hidden and (path.suffix == ".py" if path.is_file() else (path / "__init__.py").is_file()):
                yield path


def pack_name(path: Path) -> str:
    """What a pack is called: its folder, or its file without the ending."""
    return path.stem if path.is_file() else path.name


def import_pack(path: Path) -> ModuleType:
    """The module of a pack. One that fails leaves nothing behind in `sys.modules`.

    Raises:
        ImportError: not a module; and whatever the pack's code raises.
    """
    # The path is the name, without dots that Python would take for packages: two packs never share one.
    name = str(path.with_suffix("") if path.is_file() else path).replace(".", "_x_")
    file = path if path.is_file() else path / "__init__.py"
    places = None if path.is_file() else [str(path)]
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=places)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python module.")
    module = importlib.util.module_from_spec(spec)
    before = set(sys.modules)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        for new in [new for new in sys.modules if new not in before and new.startswith(name)]:
            del sys.modules[new]
        raise
    return module


def run_prestart_scripts(folders: Iterable[Path], disabled: Collection[str] = ()) -> list[tuple[str, str]]:
    """Run each pack's prestartup_script.py, before anything heavy is imported; (pack, error) of those that failed."""
    failed: list[tuple[str, str]] = []
    for path in find_packs(folders):
        script = path / PRESTART
        if path.is_dir() and script.is_file() and path.name not in disabled:
            try:
                runpy.run_path(str(script), run_name="prestartup_script")
            except (Exception, SystemExit) as error:  # a pack's own code
                log.error("the prestart script of the pack %s failed: %s", path.name, error)
                failed.append((path.name, f"{type(error).__name__}: {error}"))
    return failed


def web_folder(path: Path, module: ModuleType | None) -> tuple[str, Path] | None:
    """(name in URLs, folder) of a pack's scripts for the page; None without any, or one outside of the pack."""
    if path.is_file():
        return None
    project = read_project(path)
    tool: Any = project.get("tool", {})
    said = tool.get("comfy", {}).get("web") if is_dict(tool) and is_dict(tool.get("comfy")) else None
    name = str(project.get("project", {}).get("name") or path.name) if said else path.name
    said = said or getattr(module, "WEB_DIRECTORY", None)
    if not isinstance(said, str):
        return None
    folder = (path / said).resolve()
    return (name, folder) if folder.is_dir() and folder.is_relative_to(path.resolve()) else None


def read_project(path: Path) -> Mapping[str, Any]:
    """A pack's pyproject.toml, {} where there is none that can be read."""
    try:
        return tomllib.loads((path / "pyproject.toml").read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def disabled_packs(file: Path) -> frozenset[str]:
    """The names of packs that the user has switched off, as `user/packs.json` says: {"disabled": […]}."""
    try:
        said: Any = json.loads(file.read_text("utf-8"))
        return frozenset(str(name) for name in said["disabled"])
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


def missing_requirements(path: Path) -> list[str]:
    """The lines of a pack's requirements.txt whose package is not installed at all."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        lines = (path / "requirements.txt").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    missing: list[str] = []
    for line in lines:
        wanted = line.partition("#")[0].partition(";")[0].strip()
        name = _package(wanted)
        if name:
            try:
                distribution(name)
            except PackageNotFoundError:
                missing.append(wanted)
    return missing


def _package(requirement: str) -> str:
    """The package that a line asks for, "" for lines that name none (options, addresses)."""
    if not requirement or requirement.startswith("-") or "://" in requirement.partition("@")[0]:
        return ""
    name = requirement
    for sign in "[<>=!~@ (":
        name = name.partition(sign)[0]
    return name.strip()

"""Finds packs on disk and imports them, each under the module name that its own imports expect."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType


def find_packs(folders: Iterable[Path]) -> Iterator[Path]:
    """Packages (folders with an __init__.py) and single .py files, sorted by name; disabled ones are left out."""
    for folder in folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            hidden = path.name.startswith((".", "__pycache__")) or path.name.endswith(".disabled")
            if not hidden and (path.suffix == ".py" if path.is_file() else (path / "__init__.py").is_file()):
                yield path


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

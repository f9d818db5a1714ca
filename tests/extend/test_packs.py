from __future__ import annotations

import sys
from pathlib import Path

import pytest

from app.extend.packs import find_packs, import_pack


def test_packs_are_found_in_order(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "c.py").touch()
    assert [path.name for path in find_packs([tmp_path])] == ["a", "b", "c.py"]


def test_two_packs_of_one_name_are_two_modules(tmp_path: Path) -> None:
    modules = []
    for folder in ("x", "y"):
        path = tmp_path / folder / "pack"
        path.mkdir(parents=True)
        (path / "__init__.py").write_text(f"where = {folder!r}")
        modules.append(import_pack(path))
    assert [module.where for module in modules] == ["x", "y"]
    assert all(sys.modules[module.__name__] is module for module in modules)


def test_dots_in_a_name_are_no_packages(tmp_path: Path) -> None:
    path = tmp_path / "pack.v2"
    path.mkdir()
    (path / "__init__.py").write_text("from .inner import value")
    (path / "inner.py").write_text("value = 7")
    assert import_pack(path).value == 7


def test_whatever_a_pack_raises_comes_through(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("raise RuntimeError('no')")
    with pytest.raises(RuntimeError, match="no"):
        import_pack(path)
    assert str(path.with_suffix("")) not in sys.modules

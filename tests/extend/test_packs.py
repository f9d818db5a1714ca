from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from app.extend.packs import (
    disabled_packs,
    find_packs,
    import_pack,
    missing_requirements,
    pack_name,
    run_prestart_scripts,
    web_folder,
)


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


def pack(folder: Path, name: str, **files: str) -> Path:
    path = folder / name
    path.mkdir(parents=True)
    (path / "__init__.py").touch()
    for file, text in files.items():
        (path / file.replace("__", ".")).write_text(text)
    return path


def test_prestart_scripts_run_in_order_and_one_that_fails_harms_no_other(tmp_path: Path) -> None:
    note = f"from pathlib import Path; Path({str(tmp_path / 'heard')!r}).write_text"
    pack(tmp_path / "packs", "a", prestartup_script__py="raise SystemExit('no')")
    pack(tmp_path / "packs", "b", prestartup_script__py=f"{note}('b')")
    pack(tmp_path / "packs", "c", prestartup_script__py=f"{note}('c')")
    pack(tmp_path / "packs", "d.disabled", prestartup_script__py=f"{note}('d')")
    failed = run_prestart_scripts([tmp_path / "packs"], disabled={"c"})
    assert failed == [("a", "SystemExit: no")]
    assert (tmp_path / "heard").read_text() == "b"


def test_scripts_for_the_page_lie_inside_of_the_pack(tmp_path: Path) -> None:
    path = pack(tmp_path, "mine")
    module = ModuleType("mine")
    assert web_folder(path, module) is None
    (path / "js").mkdir()
    for said, found in (("js", True), ("./js", True), ("nowhere", False), ("..", False), ("/etc", False), (3, False)):
        module.WEB_DIRECTORY = said  # type: ignore[attr-defined]
        assert (web_folder(path, module) == ("mine", (path / "js").resolve())) is found
    single = tmp_path / "single.py"
    single.touch()
    assert web_folder(single, module) is None


def test_a_project_file_may_name_the_scripts(tmp_path: Path) -> None:
    path = pack(tmp_path, "mine", pyproject__toml='[project]\nname = "acme-tools"\n[tool.comfy]\nweb = "dist"\n')
    (path / "dist").mkdir()
    assert web_folder(path, None) == ("acme-tools", (path / "dist").resolve())
    (path / "pyproject.toml").write_text("nonsense = [")
    assert web_folder(path, None) is None


def test_packages_that_are_not_there_are_named(tmp_path: Path) -> None:
    lines = [
        "# tools",
        "pytest>=1",
        "no_such_package_one==1.0  # why",
        "no-such-package-two[extra]>=2; python_version > '3'",
        "-r other.txt",
        "git+https://example.org/x.git",
        "no_such_three @ https://example.org/y.whl",
        "",
    ]
    path = pack(tmp_path, "mine", requirements__txt="\n".join(lines))
    assert missing_requirements(path) == [
        "no_such_package_one==1.0",
        "no-such-package-two[extra]>=2",
        "no_such_three @ https://example.org/y.whl",
    ]
    assert missing_requirements(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "names"),
    [('{"disabled": ["a", "b"]}', {"a", "b"}), ("nonsense", set()), ("[]", set()), ('{"disabled": 1}', set())],
)
def test_packs_that_are_switched_off(tmp_path: Path, text: str, names: set[str]) -> None:
    assert disabled_packs(tmp_path / "packs.json") == set()
    (tmp_path / "packs.json").write_text(text)
    assert disabled_packs(tmp_path / "packs.json") == names


def test_a_pack_is_called_after_its_folder_or_file(tmp_path: Path) -> None:
    (tmp_path / "single.py").touch()
    assert pack_name(tmp_path / "single.py") == "single"
    assert pack_name(pack(tmp_path, "v1.2")) == "v1.2"

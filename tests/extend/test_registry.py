from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from app.extend.registry import Registry

NATIVE = """
from app.api import node

@node("Double", category="math", id="acme.Double")
def double(*, x: int = 1) -> int:
    \"\"\"Doubles a number.\"\"\"
    return 2 * x
"""
V1 = """
class Triple:
    RETURN_TYPES = ("INT",)
    FUNCTION = "go"
    CATEGORY = "math"
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"x": ("INT", {"default": 1})}}
    def go(self, x):
        return (3 * x,)

NODE_CLASS_MAPPINGS = {"acme.Triple": Triple, "KSampler": Triple}
NODE_DISPLAY_NAME_MAPPINGS = {"acme.Triple": "Triple it"}
"""


def pack(folder: Path, name: str, code: str, **files: str) -> Path:
    path = folder / name
    path.mkdir(parents=True)
    (path / "__init__.py").write_text(dedent(code))
    for file, text in files.items():
        (path / f"{file}.py").write_text(dedent(text))
    return path


def test_the_built_in_nodes_are_there() -> None:
    registry = Registry.load()
    assert {"CheckpointLoaderSimple", "KSampler", "SaveImage"} <= set(registry.nodes)
    assert registry.failures == ()
    assert all(name == node.spec.id for name, node in registry.nodes.items())


def test_packs_of_both_styles_are_loaded(tmp_path: Path) -> None:
    pack(tmp_path, "native", NATIVE)
    pack(tmp_path, "classic", V1)
    (tmp_path / "single.py").write_text(NATIVE.replace("acme.Double", "acme.Single"))
    registry = Registry.load(packs=[tmp_path])
    assert registry.failures == ()
    assert registry.nodes["acme.Double"].spec.module == "custom_nodes.native"
    assert registry.nodes["acme.Triple"].spec.display_name == "Triple it"
    assert registry.nodes["acme.Single"].spec.module == "custom_nodes.single"
    assert {report.name for report in registry.packs} == {"native", "classic", "single"}
    assert all(report.seconds >= 0 for report in registry.packs)


def test_a_pack_cannot_take_the_name_of_a_built_in_node(tmp_path: Path) -> None:
    pack(tmp_path, "classic", V1)
    registry = Registry.load(packs=[tmp_path])
    assert registry.nodes["KSampler"].spec.module == "nodes"
    assert registry.packs[0].nodes == ("acme.Triple",)


def test_the_later_pack_wins_over_the_earlier(tmp_path: Path) -> None:
    pack(tmp_path, "a", NATIVE)
    pack(tmp_path, "b", NATIVE)
    assert Registry.load(packs=[tmp_path]).nodes["acme.Double"].spec.module == "custom_nodes.b"


def test_what_is_disabled_or_no_pack_is_left_alone(tmp_path: Path) -> None:
    for name in ("off.disabled", ".hidden", "__pycache__"):
        pack(tmp_path, name, "raise SystemExit(1)")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    assert Registry.load(packs=[tmp_path, tmp_path / "missing"]).packs == ()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import there_is_no_such_module", "pip install there_is_no_such_module"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit('bye')", "SystemExit: bye"),
        ("x = 1", "NODE_CLASS_MAPPINGS"),
        ("class A: pass\nNODE_CLASS_MAPPINGS = {'A': A}", "A has no INPUT_TYPES"),
    ],
)
def test_a_pack_that_fails_is_told_and_hurts_nobody(tmp_path: Path, code: str, told: str) -> None:
    pack(tmp_path, "bad", code)
    pack(tmp_path, "good", NATIVE)
    registry = Registry.load(packs=[tmp_path])
    assert "acme.Double" in registry.nodes
    (failure,) = registry.failures
    assert failure["name"] == "bad"
    assert told in failure["message"]


def test_a_failed_pack_leaves_no_module_behind(tmp_path: Path) -> None:
    pack(tmp_path, "bad", "from . import part\n1 / 0", part="x = 1")
    before = set(sys.modules)
    Registry.load(packs=[tmp_path])
    assert {name for name in set(sys.modules) - before if "bad" in name} == set()


def test_the_way_out_names_the_packs_own_list(tmp_path: Path) -> None:
    path = pack(tmp_path, "bad", "import there_is_no_such_module")
    (path / "requirements.txt").write_text("there_is_no_such_module")
    assert "requirements.txt" in Registry.load(packs=[tmp_path]).failures[0]["message"]


def test_parts_of_a_pack_import_each_other(tmp_path: Path) -> None:
    code = "from .part import double"
    pack(tmp_path, "v1.2.parted", f"{code}\nfrom .maps import *", part=NATIVE, maps=V1)
    registry = Registry.load(packs=[tmp_path])
    assert "acme.Triple" in registry.nodes
    assert registry.failures == ()


def test_a_pack_that_is_switched_off_is_not_looked_at(tmp_path: Path) -> None:
    pack(tmp_path, "loud", "raise SystemExit(1)")
    pack(tmp_path, "quiet", NATIVE)
    registry = Registry.load(packs=[tmp_path], disabled={"loud"})
    assert [report.name for report in registry.packs] == ["quiet"]
    assert registry.failures == ()


def test_one_class_that_cannot_be_used_costs_itself_alone(tmp_path: Path) -> None:
    code = V1 + "\nclass Odd:\n    pass\nNODE_CLASS_MAPPINGS['acme.Odd'] = Odd\n"
    pack(tmp_path, "mixed", code)
    (report,) = Registry.load(packs=[tmp_path]).packs
    assert report.nodes == ("acme.Triple",)
    assert report.error == ""
    assert "acme.Odd" in report.problems[0]
    told = report.to_json()
    assert (told["loaded"], told["nodes"], told["name"]) == (True, ["acme.Triple"], "mixed")


def test_what_a_pack_prints_does_not_stand_among_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack(tmp_path, "chatty", NATIVE + "\nprint('hello')")
    Registry.load(packs=[tmp_path])
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "hello" in printed.err


def test_a_missing_part_of_the_reference_is_named(tmp_path: Path) -> None:
    pack(tmp_path, "far", "raise ModuleNotFoundError('none', name='comfy.ldm.nowhere')")
    (failure,) = Registry.load(packs=[tmp_path]).failures
    assert "does not offer (comfy.ldm.nowhere)" in failure["message"]
    assert "pip install" not in failure["message"]


def test_a_prestart_script_that_failed_is_told_with_the_pack(tmp_path: Path) -> None:
    pack(tmp_path, "early", NATIVE)
    pack(tmp_path, "late", "1 / 0")
    registry = Registry.load(packs=[tmp_path], prestart={"early": "KeyError: 'x'", "late": "OSError: gone"})
    told = {report.name: report.to_json() for report in registry.packs}
    assert told["early"]["loaded"]
    assert "prestartup_script.py failed: KeyError: 'x'" in told["early"]["problems"][0]
    assert not told["late"]["loaded"]
    assert "OSError: gone" in told["late"]["problems"][0]

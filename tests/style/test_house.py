"""The house rules that a machine can check: sizes, hints, docstrings, smells, and who may import whom."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SOURCE = ["app", "nodes", "main.py"]


def _metrics() -> ModuleType:
    spec = importlib.util.spec_from_file_location("style_metrics", HERE / "style_metrics.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def measured() -> tuple[Any, list[Any], ModuleType]:
    metrics = _metrics()
    report, source = metrics.measure(ROOT, "house", "HEAD", SOURCE, ["custom_nodes/*"])
    return report, source, metrics


def test_the_code_is_within_its_limits(measured: tuple[Any, list[Any], ModuleType]) -> None:
    report, source, metrics = measured
    problems = metrics.past_limits(report, json.loads((HERE / "limits.json").read_text()))
    assert not problems, "\n".join([*problems, metrics.show_worst(source, 5)])


def test_every_file_was_parsed(measured: tuple[Any, list[Any], ModuleType]) -> None:
    report, source, _ = measured
    assert report.unparsed == 0
    assert len(source) > 100


def test_packages_import_only_what_they_may(measured: tuple[Any, list[Any], ModuleType]) -> None:
    _, source, metrics = measured
    problems = metrics.forbidden_imports(source, json.loads((HERE / "layers.json").read_text()))
    assert not problems, "\n".join(problems)


def test_every_package_has_a_layer(measured: tuple[Any, list[Any], ModuleType]) -> None:
    _, source, metrics = measured
    layers = json.loads((HERE / "layers.json").read_text())
    homeless = [m.path for m in source if m.path != "app/__init__.py" and not metrics.layer_of(_dotted(m.path), layers)]
    assert not homeless


def _dotted(path: str) -> tuple[str, ...]:
    return Path(path).with_suffix("").parts


@pytest.mark.parametrize(
    "module", ["app.server.serve", "app.graph.validate", "app.engine.run", "app.link.worker_client"]
)
def test_torch_stays_out(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr or f"{module} imports torch or numpy"


def test_the_graph_needs_the_standard_library_only(measured: tuple[Any, list[Any], ModuleType]) -> None:
    _, source, _ = measured
    for module in source:
        if module.path.startswith(("app/graph/", "app/engine/")):
            foreign = {name[0] for name in module.all_imports} - set(sys.stdlib_module_names) - {"app"}
            assert not foreign, f"{module.path} imports {sorted(foreign)}"


@pytest.mark.parametrize("mark", ["TO" + "DO", "FIX" + "ME", "raise NotImplemented" + "Error"])
def test_nothing_is_left_unfinished(mark: str) -> None:
    assert not _files_with(mark, "app", "nodes", "web")


@pytest.mark.parametrize("mark", ["pytest." + "skip", "mark." + "skip", "mark." + "xfail", "mock." + "patch"])
def test_no_test_is_switched_off_or_faked(mark: str) -> None:
    assert not _files_with(mark, "tests")


def _files_with(mark: str, *folders: str) -> list[str]:
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".js", ".mjs"}]
    return [str(path.relative_to(ROOT)) for path in files if "vendor" not in path.parts and mark in path.read_text()]

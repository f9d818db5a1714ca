"""What every built-in node promises: help, typed ports, limits that hold their defaults, and a test of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.extend.registry import Registry
from app.graph.spec import NodeSpec

ROOT = Path(__file__).parent.parent.parent
SPECS = {node.spec.id: node.spec for node in Registry.load(builtin="nodes", packs=[]).nodes.values()}
TESTS = "\n".join(path.read_text() for path in (ROOT / "tests" / "nodes").rglob("test_*.py"))


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_a_node_explains_itself(spec: NodeSpec) -> None:
    assert len(spec.help) > 20, "the docstring is the help that people read"
    assert spec.display_name
    assert spec.category
    assert all(port.type or port.folder for port in spec.inputs)
    assert all(port.type for port in spec.outputs)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_a_default_is_within_its_limits(spec: NodeSpec) -> None:
    for port in spec.inputs:
        default = port.options.get("default")
        if isinstance(default, int | float) and not isinstance(default, bool):
            assert port.options.get("min", default) <= default <= port.options.get("max", default), port.name
        if isinstance(port.type, tuple) and default is not None:
            assert default in (port.also if port.folder else port.type), port.name


@pytest.mark.parametrize("node_id", SPECS)
def test_a_node_has_a_test(node_id: str) -> None:
    assert f'"{node_id}"' in TESTS

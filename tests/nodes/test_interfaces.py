"""The names, types, limits and orders that saved workflows rely on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.extend.registry import Registry

INTERFACES: dict[str, Any] = json.loads((Path(__file__).parent / "interfaces.json").read_text())
NODES = Registry.load().nodes
# New nodes save under our own name; the widget is always part of a saved graph, so nothing depends on it.
OURS = {
    (name, "filename_prefix", "default")
    for name in (
        "SaveImage",
        "CheckpointSave",
        "ModelSave",
        "VAESave",
        "CLIPSave",
        "LoraSave",
        "SaveLatent",
        "SaveAnimatedPNG",
        "SaveAnimatedWEBP",
    )
} | {("SaveLoRANode", "prefix", "default")}


def same(given: Any, wanted: Any) -> bool:
    """Combos may have more options than are known, in the known order; a repeated option counts once."""
    if isinstance(wanted, list):
        return (
            not wanted
            or [option for option in given if option in wanted] == list(dict.fromkeys(given))
            or set(wanted) <= set(given)
        )
    return given == wanted


def test_the_table_knows_every_node() -> None:
    assert set(INTERFACES) <= set(NODES)


@pytest.mark.parametrize("node_id", INTERFACES)
def test_inputs_are_as_users_files_have_them(node_id: str) -> None:
    ports = NODES[node_id].spec.inputs
    wanted = INTERFACES[node_id]["inputs"]
    assert [(port.name, port.section) for port in ports] == [(name, section) for name, _, section, _ in wanted]
    for port, (name, kind, _, options) in zip(ports, wanted, strict=True):
        assert same(port.type, kind), name
        for option, value in options.items():
            if (node_id, name, option) not in OURS:
                assert port.options.get(option) == value, f"{name}: {option}"


@pytest.mark.parametrize("node_id", INTERFACES)
def test_outputs_and_category_are_as_users_files_have_them(node_id: str) -> None:
    spec = NODES[node_id].spec
    assert [[port.name, port.type, port.is_list] for port in spec.outputs] == INTERFACES[node_id]["outputs"]
    assert spec.category == INTERFACES[node_id]["category"]

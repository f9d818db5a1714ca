"""The loops and choices of the documentation, and the nodes that steer them, on the engine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.engine.cache import Cache
from app.engine.events import Event, NodeFinished, NodeStarted, RunFailed, RunSucceeded
from app.engine.run import run
from app.extend.registry import Registry
from app.graph.prompt import parse_prompt
from app.graph.validate import validate

DOCS = Path(__file__).parents[2] / "docs" / "flow.md"
NODES = Registry.load().nodes
SPECS = {name: node.spec for name, node in NODES.items()}


def evaluated(graph: dict[str, Any]) -> list[Event]:
    checked = validate(parse_prompt(graph), SPECS, {})
    assert not checked.node_errors
    return list(run(checked.prompt, checked.outputs, NODES, Cache(), lambda site: None, lambda: False))


def shown(events: list[Event]) -> list[str]:
    assert isinstance(events[-1], RunSucceeded), events[-1]
    return [text for event in events if isinstance(event, NodeFinished) and event.ui for text in event.ui["text"]]


def started(events: list[Event]) -> set[str]:
    return {event.node_id for event in events if isinstance(event, NodeStarted)}


def show(node: str, slot: int = 0) -> dict[str, Any]:
    return {"class_type": "PreviewAny", "inputs": {"source": [node, slot]}}


def number(value: int) -> dict[str, Any]:
    return {"class_type": "PrimitiveInt", "inputs": {"value": value}}


def test_the_examples_of_the_documentation_run() -> None:
    graphs = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)]
    assert [shown(evaluated(graph)) for graph in graphs] == [["10"], ["128"]]


@pytest.mark.parametrize("kind", ["For", "While"])
def test_a_value_goes_from_round_to_round_and_all_are_gathered(kind: str) -> None:
    begin = {"ForBegin": {"count": 3}, "WhileBegin": {"condition": True}}[f"{kind}Begin"]
    condition = {"ForEnd": {}, "WhileEnd": {"condition": ["less", 0]}}[f"{kind}End"]
    graph: dict[str, Any] = {
        "one": number(1),
        "begin": {"class_type": f"{kind}Begin", "inputs": {**begin, "value_1": ["one", 0]}},
        "x": {"class_type": "CalculateInteger", "inputs": {"a": ["begin", 2], "b": 3, "operation": "a × b"}},
        "less": {"class_type": "CompareValues", "inputs": {"a": ["x", 0], "b": 20, "relation": "<"}},
        "end": {
            "class_type": f"{kind}End",
            "inputs": {"loop": ["begin", 0], "value_1": ["x", 0], "collect": ["x", 0], **condition},
        },
        "last": show("end"),
        "all": show("end", 4),
    }
    assert sorted(shown(evaluated(graph))) == ["27", "27", "3", "9"]


@pytest.mark.parametrize(("switch", "wanted", "left_out"), [(True, ["1"], "no"), (False, ["0"], "yes")])
def test_if_runs_one_branch(switch: bool, wanted: list[str], left_out: str) -> None:
    events = evaluated(
        {
            "yes": number(1),
            "no": number(0),
            "if": {
                "class_type": "ComfySwitchNode",
                "inputs": {"switch": switch, "on_true": ["yes", 0], "on_false": ["no", 0]},
            },
            "show": show("if"),
        }
    )
    assert shown(events) == wanted
    assert left_out not in started(events)


def test_an_open_branch_is_a_gate() -> None:
    branch = {"class_type": "ComfySwitchNode", "inputs": {"switch": False, "on_true": ["yes", 0]}}
    events = evaluated({"yes": number(1), "if": branch, "show": show("if")})
    assert shown(events) == []
    assert started(events) == {"if"}


@pytest.mark.parametrize(("which", "wanted"), [(0, ["10"]), (2, ["12"]), (5, ["99"])])
def test_switch_runs_the_branch_or_otherwise(which: int, wanted: list[str]) -> None:
    inputs = {"which": which, "case_0": ["a", 0], "case_2": ["c", 0], "otherwise": ["z", 0]}
    graph = {
        "a": number(10),
        "c": number(12),
        "z": number(99),
        "switch": {"class_type": "SwitchCase", "inputs": inputs},
        "show": show("switch"),
    }
    events = evaluated(graph)
    assert shown(events) == wanted
    assert len(started(events)) == 3


def test_a_filter_by_map_and_if() -> None:
    graph: dict[str, Any] = {
        "range": {"class_type": "NumberRange", "inputs": {"start": 0, "step": 1, "count": 6}},
        "map": {"class_type": "MapBegin", "inputs": {"items": ["range", 1]}},
        "rest": {"class_type": "CalculateInteger", "inputs": {"a": ["map", 1], "b": 2, "operation": "a mod b"}},
        "odd": {"class_type": "CompareValues", "inputs": {"a": ["rest", 0], "b": 1, "relation": "="}},
        "keep": {"class_type": "ComfySwitchNode", "inputs": {"switch": ["odd", 0], "on_true": ["map", 1]}},
        "end": {"class_type": "MapEnd", "inputs": {"loop": ["map", 0], "result": ["keep", 0]}},
        "length": {"class_type": "ListLength", "inputs": {"items": ["end", 0]}},
        "show": show("end"),
        "count": show("length"),
    }
    assert sorted(shown(evaluated(graph))) == ["1", "3", "3", "5"]


def test_lists_are_joined_and_read() -> None:
    graph: dict[str, Any] = {
        "range": {"class_type": "NumberRange", "inputs": {"start": 1, "step": 1, "count": 3}},
        "seven": number(7),
        "list": {"class_type": "ListOfValues", "inputs": {"item_1": ["range", 1], "item_3": ["seven", 0]}},
        "last": {"class_type": "ListItem", "inputs": {"items": ["list", 0], "index": -1}},
        "show": show("last"),
    }
    assert shown(evaluated(graph)) == ["7"]
    graph["last"]["inputs"]["index"] = 4
    failed = evaluated(graph)[-1]
    assert isinstance(failed, RunFailed)
    assert "4 items" in failed.message


@pytest.mark.parametrize(
    ("a", "b", "operation", "wanted"),
    [(7, 2, "a - b", (5, 5)), (7, 2, "a ÷ b", (3.5, 3)), (-7, 2, "a mod b", (1, 1)), (2, 10, "a ^ b", (1024, 1024))],
)
def test_calculations(a: float, b: float, operation: str, wanted: tuple[float, int]) -> None:
    node: Any = NODES["CalculateNumber"]
    assert node(a=a, b=b, operation=operation) == wanted


def test_what_cannot_be_calculated_or_compared_is_told() -> None:
    division: dict[str, Any] = {"class_type": "CalculateNumber", "inputs": {"a": 1, "b": 0, "operation": "a ÷ b"}}
    failed = evaluated({"x": division, "show": show("x")})[-1]
    assert isinstance(failed, RunFailed)
    assert "b=0" in failed.message
    compared = {"class_type": "CompareValues", "inputs": {"a": ["t", 0], "b": 1, "relation": "<"}}
    text = {"class_type": "PrimitiveString", "inputs": {"value": "x"}}
    failed = evaluated({"t": text, "x": compared, "show": show("x")})[-1]
    assert isinstance(failed, RunFailed)
    assert failed.message == "str < int cannot be decided."


@pytest.mark.parametrize("operation", ["and", "or", "xor", "not a"])
def test_logic_is_pythons(operation: str) -> None:
    node: Any = NODES["LogicOperation"]
    for a in (False, True):
        for b in (False, True):
            wanted = not a if operation == "not a" else {"and": a & b, "or": a | b, "xor": a ^ b}[operation]
            assert node(a=a, b=b, operation=operation) is wanted

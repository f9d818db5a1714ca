from __future__ import annotations

from typing import Any

import pytest

from app.engine.arguments import Arguments, constants
from app.engine.cache import Entry
from app.engine.dynamic import DynamicPrompt
from app.engine.held import Values
from app.engine.site import RunExtras
from app.errors import InvalidPrompt
from app.graph.prompt import PromptNode, parse_prompt
from app.graph.spec import InputSpec, NodeSpec

SPEC = NodeSpec(
    "A",
    (
        InputSpec("x", "*"),
        InputSpec("late", "*", options={"lazy": True}),
        InputSpec("raw", "*", options={"rawLink": True}),
    ),
    hidden={"who": "UNIQUE_ID", "token": "API_KEY_COMFY_ORG"},
)
INPUTS = {"x": ["p", 1], "late": ["q", 0], "raw": ["r", 0], "undeclared": ["s", 0]}


def made(inputs: dict[str, Any], held: tuple[str, ...] = ("p", "r")) -> Arguments:
    data = {node_id: {"class_type": "B", "inputs": {}} for node_id in "pqrs"}
    graph = DynamicPrompt(parse_prompt({**data, "n": {"class_type": "A", "inputs": inputs}}))
    values = Values()
    for node_id in held:
        values.expect([node_id])
        values.hold(node_id, Entry(([f"{node_id}0"], [f"{node_id}1", f"{node_id}2"])))
    return Arguments(graph, values, RunExtras(secrets={"API_KEY_COMFY_ORG": "key"}))


def test_parents_are_those_of_declared_inputs() -> None:
    arguments = made(INPUTS)
    assert list(arguments.parents("n", SPEC)) == ["p", "q", "r"]
    assert list(arguments.strong_parents("n", SPEC)) == ["p", "r"]


def test_inputs_are_lists_of_values() -> None:
    assert made(INPUTS).gather("n", SPEC) == {
        "x": ["p1", "p2"],
        "late": [None],
        "raw": [["r", 0]],
        "who": ["n"],
        "token": ["key"],
    }


def test_any_input_is_passed_where_the_class_takes_it() -> None:
    spec = NodeSpec("A", accepts_any_input=True)
    arguments = made({"x": 5, "images.image0": ["p", 0], "listed": {"__value__": [1, 2]}})
    assert list(arguments.parents("n", spec)) == ["p"]
    assert arguments.gather("n", spec) == {"x": [5], "images.image0": ["p0"], "listed": [[1, 2]]}


def test_whole_numbers_become_real_ones_where_those_are_declared() -> None:
    spec = NodeSpec("A", (InputSpec("x", "FLOAT"), InputSpec("y", "*"), InputSpec("z", "FLOAT")))
    arguments = made({"x": ["p", 0], "y": ["p", 0], "z": 3}, held=())
    arguments._values.expect(["p"])
    arguments._values.hold("p", Entry(([1, True, None, 2.5, 10**400],)))
    found = arguments.gather("n", spec)
    assert [type(each) for each in found["x"]] == [float, bool, type(None), float, int]
    assert found["y"] == [1, True, None, 2.5, 10**400] and type(found["y"][0]) is int
    assert type(found["z"][0]) is int, "literals are converted when a prompt is checked"


def test_a_link_to_nowhere_is_told() -> None:
    with pytest.raises(InvalidPrompt, match="Input x of node n links to node nobody"):
        made({"x": ["nobody", 0]}).parents("n", SPEC)


def test_constants_are_what_is_known_before_the_run() -> None:
    node = PromptNode("n", "A", dict(parse_prompt({"n": {"class_type": "A", "inputs": INPUTS}}).nodes["n"].inputs))
    assert constants(node, SPEC) == {"x": None, "late": None, "raw": None, "who": "n", "token": None}
    assert constants(PromptNode("n", "A", {"x": 5}), NodeSpec("A", SPEC.inputs, input_is_list=True)) == {"x": [5]}

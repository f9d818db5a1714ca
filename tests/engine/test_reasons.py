"""Why a node runs again, told from the keys that it and its ancestors had before."""

from __future__ import annotations

import pytest

from app.engine.events import NodeFinished
from app.engine.reasons import Reasons
from app.graph.fingerprint import NodeKey, node_keys
from app.graph.prompt import Prompt, parse_prompt
from app.graph.spec import InputSpec, NodeSpec, OutputSpec
from tests.engine.conftest import Bench

SPEC = NodeSpec(
    "T",
    (InputSpec("n", "INT"), InputSpec("a", "*", "optional"), InputSpec("b", "*", "optional")),
    (OutputSpec("x", "*"),),
)


def chain(*numbers: int, **links: str) -> Prompt:
    """Nodes "0", "1", … each reading the one before."""
    data = {
        str(i): {"class_type": "T", "inputs": {"n": n, **({"a": [str(i - 1), 0]} if i else {})}}
        for i, n in enumerate(numbers)
    }
    for node_id, parent in links.items():
        data[node_id.strip("_")]["inputs"]["a"] = [parent, 0]
    return parse_prompt(data)


def keys(prompt: Prompt) -> dict[str, NodeKey]:
    return node_keys(prompt, prompt.nodes, {"T": SPEC}, {})


def why(before: Prompt, after: Prompt, node_id: str) -> str:
    earlier = {(name, "T"): key for name, key in keys(before).items()}
    return Reasons(earlier, keys(after), lambda name: after.nodes[name]).why(node_id)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (chain(1, 2, 3), chain(9, 2, 3), "a changed upstream: n changed from 1 to 9 at node 0 (T)"),
        (chain(1, 2, 3), chain(1, 2, 5), "n changed from 3 to 5"),
        (chain(1, 2, 3), chain(1, 2, 3), "it has no stored result"),
        (chain(1, 2, 3), chain(1, 2, 3, _2="0"), "a changed upstream: it is linked to node 0 (T) now"),
    ],
)
def test_the_cause_is_named(before: Prompt, after: Prompt, told: str) -> None:
    assert why(before, after, "2") == told


def test_all_that_a_node_was_given_is_named_and_where_a_change_came_from() -> None:
    changed = chain(9, 2, 5)
    assert why(chain(1, 2, 3), changed, "2") == (
        "n changed from 3 to 5; a changed upstream: n changed from 1 to 9 at node 0 (T)"
    )
    assert why(chain(1, 2, 3), chain(9, 8, 3), "2") == "a changed upstream: n changed from 2 to 8 at node 1 (T)"


def test_a_new_parent_is_named() -> None:
    before = parse_prompt(
        {"2": {"class_type": "T", "inputs": {"n": 3, "a": ["7", 0]}}, "7": {"class_type": "T", "inputs": {"n": 1}}}
    )
    earlier = {("2", "T"): node_keys(before, ["7", "2"], {"T": SPEC}, {})["2"]}
    after = chain(1, 2, 3)
    assert (
        Reasons(earlier, keys(after), lambda name: after.nodes[name]).why("2")
        == "a changed upstream: node 1 (T) is new"
    )


def test_long_chains_are_walked_once_and_without_recursion() -> None:
    length = 5000
    before, after = chain(*range(length)), chain(7, *range(1, length))
    looked: list[str] = []

    def node(node_id: str) -> object:
        looked.append(node_id)
        return after.nodes[node_id]

    reasons = Reasons({(name, "T"): key for name, key in keys(before).items()}, keys(after), node)  # type: ignore[arg-type]
    told = {reasons.why(str(i)) for i in range(1, length)}
    assert told == {"a changed upstream: n changed from 0 to 7 at node 0 (T)"}
    assert len(looked) < 3 * length


def test_other_prompts_in_between_are_no_reason(bench: Bench) -> None:
    line = {"a": ("Constant", {"value": 1}), "b": ("Show", {"value": ["a", 0]})}
    bench.run(line)
    bench.run({"c": ("Constant", {"value": 5}), "d": ("Show", {"value": ["c", 0]})})
    line["a"] = ("Constant", {"value": 2})
    bench.run(line)
    assert bench.reasons()["a"] == "value changed from 1 to 2"


def test_what_a_result_holds_and_what_costs_the_same_is_told(bench: Bench) -> None:

    bench.run({"a": ("Constant", {"value": "x" * 1000}), "b": ("Show", {"value": ["a", 0]})})
    first = {event.node_id: event for event in bench.events_of(NodeFinished)}
    assert first["a"].result_bytes > 1000
    bench.cache.clear()
    bench.run({"z": ("Constant", {"value": "x" * 1000}), "b": ("Show", {"value": ["z", 0]})})
    again = {event.node_id: event for event in bench.events_of(NodeFinished)}
    assert first["b"].signature == again["b"].signature
    assert len(first["b"].signature) == 2

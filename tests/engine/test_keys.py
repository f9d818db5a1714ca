from __future__ import annotations

from typing import Any

import pytest

from app.engine.dynamic import DynamicPrompt
from app.engine.keys import RunKeys
from app.errors import InvalidPrompt
from app.graph.order import ancestors
from app.graph.prompt import Link, Prompt, PromptNode
from tests.engine.conftest import Bench


def prompt_of(**nodes: tuple[str, dict[str, Any]]) -> Prompt:
    return Prompt({i: PromptNode(i, kind, inputs) for i, (kind, inputs) in nodes.items()})


def run_keys(bench: Bench, **nodes: tuple[str, dict[str, Any]]) -> RunKeys:
    graph = DynamicPrompt(prompt_of(**nodes))

    def parents(node_id: str) -> list[str]:
        return [link.node for _, link in graph.node(node_id).links()]

    return RunKeys(graph, lambda node_id: bench.nodes[graph.node(node_id).class_type], parents)


def submitted(bench: Bench, *targets: str, **nodes: tuple[str, dict[str, Any]]) -> RunKeys:
    keys = run_keys(bench, **nodes)
    specs = {name: each.spec for name, each in bench.nodes.items()}
    keys.add_submitted(ancestors(prompt_of(**nodes), targets or tuple(nodes)).order, specs)
    return keys


CHAIN = {"a": ("Constant", {"value": 1}), "b": ("Add", {"a": Link("a", 0)}), "c": ("Add", {"a": Link("b", 0)})}


def test_what_comes_to_be_has_the_key_that_it_would_have_had_from_the_start(bench: Bench) -> None:
    late = submitted(bench, "a", **CHAIN)
    assert set(late.keys) == {"a"}
    late.add(["c"])
    assert {i: key.key for i, key in late.keys.items()} == {
        i: key.key for i, key in submitted(bench, **CHAIN).keys.items()
    }


def test_a_circle_is_told(bench: Bench) -> None:
    keys = run_keys(bench, a=("Add", {"a": Link("b", 0)}), b=("Add", {"a": Link("a", 0)}))
    with pytest.raises(InvalidPrompt) as refused:
        keys.add(["a"])
    assert refused.value.kind == "dependency_cycle"


def test_classes_are_asked_for_their_fingerprint_once(bench: Bench) -> None:
    asked: list[Any] = []
    bench.nodes["Constant"].fingerprints(lambda value: asked.append(value) or len(asked))
    keys = submitted(bench, **CHAIN)
    before = keys.keys["a"].key
    keys.forget(["a", "b"])
    keys.add(["b"])
    assert (asked, keys.keys["a"].key) == ([1], before)


def test_a_round_begins_with_the_values_of_its_begin(bench: Bench) -> None:
    keys = submitted(bench, **CHAIN)
    before = dict(keys.keys)
    keys.begin_round("a", ["b", "c"], ([1],))
    assert keys.keys["b"].key == before["b"].key, "an ordinary node is known by its key, whatever it gave"
    keys.forget(["c"])
    assert set(keys.keys) == {"a", "b"}

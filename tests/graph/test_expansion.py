from __future__ import annotations

from typing import Any

import pytest

from app.errors import InvalidPrompt
from app.graph.expansion import read_expansion
from app.graph.prompt import Link, prompt_to_json
from app.graph.replacements import Replacement, by_old_class
from app.graph.returned import Returned

KNOWN = {"New", "Other"}
REPLACEMENTS = by_old_class(
    [
        Replacement(
            "Old",
            "New",
            input_mapping=({"new_id": "x", "old_id": "a"}, {"new_id": "y", "set_value": 7}),
            output_mapping=({"new_idx": 1, "old_idx": 0},),
        )
    ]
)


def made(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def test_known_classes_are_read_as_they_are_and_nobody_is_asked() -> None:
    def asked() -> Any:
        raise AssertionError("asked for replacements")

    returned = Returned((["a", 0], 5), expand={"a": made("New", x=["b", 0]), "b": made("Other")})
    same, graph = read_expansion(returned, KNOWN, asked)
    assert same is returned
    assert list(graph.nodes) == ["a", "b"]
    assert read_expansion(Returned((1,), expand={}), KNOWN, asked)[1].nodes == {}


def test_classes_of_before_give_way_and_links_and_results_follow() -> None:
    thing = object()
    graph = {"a": made("Old", a=thing, gone=1), "b": made("Other", z=["a", 0])}
    returned = Returned((["a", 0], thing, Link("b", 3), ["elsewhere", 0]), {"text": ["hi"]}, graph)
    found, prompt = read_expansion(returned, KNOWN, lambda: REPLACEMENTS)
    assert found.values == (Link("a", 1), thing, Link("b", 3), Link("elsewhere", 0))
    assert found.ui == {"text": ["hi"]}
    assert prompt_to_json(prompt) == {"a": made("New", x=thing, y=7), "b": made("Other", z=["a", 1])}


def test_a_result_that_has_gone_is_told() -> None:
    with pytest.raises(InvalidPrompt) as refused:
        read_expansion(Returned((["a", 1],), expand={"a": made("Old")}), KNOWN, lambda: REPLACEMENTS)
    assert "(its result) links to output 1 of node a, which has gone" in refused.value.message


def test_what_nothing_stands_in_for_stays() -> None:
    _, graph = read_expansion(Returned(expand={"a": made("Unheard")}), KNOWN, dict)
    assert graph.nodes["a"].class_type == "Unheard"


@pytest.mark.parametrize("graph", [{"a": 5}, {"a": {"inputs": {}}}, {5: {"class_type": "New"}}])
def test_what_is_no_graph_is_refused(graph: Any) -> None:
    with pytest.raises(InvalidPrompt):
        read_expansion(Returned(expand=graph), KNOWN, dict)

"""Old classes are rewritten as what stands in for them, with their inputs and the links to their outputs."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import InvalidPrompt, InvalidRequest
from app.graph.prompt import Prompt, parse_prompt, prompt_to_json
from app.graph.replacements import (
    RENAMED,
    Replacement,
    by_old_class,
    old_widgets,
    renamed,
    replacement_from_json,
    with_replacements,
)

SWAP = Replacement(
    "Old",
    "New",
    old_widget_ids=("amount",),
    input_mapping=({"new_id": "picture", "old_id": "image"}, {"new_id": "mode", "set_value": ["a", "b"]}),
    output_mapping=({"new_idx": 1, "old_idx": 0}, {"new_idx": 0, "old_idx": 2}),
)


def graph(slot: int = 0) -> Prompt:
    return parse_prompt(
        {
            "1": {"class_type": "Load", "inputs": {}},
            "2": {"class_type": "Old", "inputs": {"image": ["1", 0], "amount": 3}, "_meta": {"title": "mine"}},
            "3": {"class_type": "Save", "inputs": {"image": ["2", slot], "name": "x"}},
        }
    )


def test_inputs_move_and_get_values_and_links_follow_their_outputs() -> None:
    data = prompt_to_json(with_replacements(graph(2), by_old_class([SWAP]), {"Load", "New", "Save"}))
    assert data["2"] == {
        "class_type": "New",
        "inputs": {"mode": {"__value__": ["a", "b"]}, "picture": ["1", 0]},
        "_meta": {"title": "mine"},
    }
    assert data["3"]["inputs"] == {"image": ["2", 0], "name": "x"}
    assert data["1"] == {"class_type": "Load", "inputs": {}}


def test_a_class_that_is_still_there_stays() -> None:
    prompt = graph()
    assert with_replacements(prompt, by_old_class([SWAP]), {"Load", "Old", "New", "Save"}) is prompt


def test_a_replacement_that_is_not_there_does_not_count_and_the_next_does() -> None:
    prompt = graph()
    other = Replacement("Old", "Newer")
    assert with_replacements(prompt, by_old_class([SWAP]), {"Load", "Save"}) is prompt
    found = with_replacements(prompt, by_old_class([SWAP, other]), {"Load", "Save", "Newer"})
    assert found.nodes["2"].class_type == "Newer"
    assert found.nodes["2"].inputs == prompt.nodes["2"].inputs
    assert found.nodes["3"] == prompt.nodes["3"]


def test_a_link_to_an_output_that_has_gone_is_refused() -> None:
    with pytest.raises(InvalidPrompt, match=r"image of node 3 links to output 1 of node 2.*Old is New") as refused:
        with_replacements(graph(1), by_old_class([SWAP]), {"New"})
    assert "another output" in refused.value.remedy


def test_an_input_that_is_not_set_stays_unset() -> None:
    prompt = parse_prompt({"2": {"class_type": "Old", "inputs": {"amount": 3}}})
    assert with_replacements(prompt, by_old_class([SWAP]), {"New"}).nodes["2"].inputs == {"mode": ["a", "b"]}


def test_chains_of_old_nodes() -> None:
    prompt = parse_prompt(
        {
            "a": {"class_type": "Old", "inputs": {}},
            "b": {"class_type": "Old", "inputs": {"image": ["a", 2]}},
        }
    )
    found = with_replacements(prompt, by_old_class([SWAP]), {"New"})
    assert found.nodes["b"].inputs["picture"] == ("a", 0)


def test_renamed_classes_keep_everything_else() -> None:
    for old, new in RENAMED.items():
        prompt = parse_prompt({"1": {"class_type": old, "inputs": {"x": 1}}})
        found = with_replacements(prompt, by_old_class(renamed()), {new})
        assert (found.nodes["1"].class_type, found.nodes["1"].inputs) == (new, {"x": 1})


def test_the_widgets_of_a_class_that_has_gone() -> None:
    offered = by_old_class([Replacement("A", "Gone", ("x",)), Replacement("A", "B", ("a", "b"))])
    assert old_widgets("A", offered, {"B"}) == ("a", "b")
    assert old_widgets("A", offered, {"A", "B"}) == ()
    assert old_widgets("C", offered, {"B"}) == ()


@pytest.mark.parametrize("each", [SWAP, Replacement("A", "B"), Replacement("A", "B", (), (), ())])
def test_json_and_back(each: Replacement) -> None:
    assert replacement_from_json(each.to_json()) == each


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"old_node_id": None}, "old_node_id is 'None'"),
        ({"new_node_id": ""}, "new_node_id is ''"),
        ({"old_widget_ids": "amount"}, "old_widget_ids"),
        ({"input_mapping": {}}, "input_mapping is no list"),
        ({"input_mapping": [{"new_id": "x"}]}, "input_mapping lacks"),
        ({"input_mapping": [{"new_id": "x", "old_id": 3}]}, "input_mapping lacks"),
        ({"output_mapping": [[0, 1]]}, "output_mapping is no list"),
        ({"output_mapping": [{"new_idx": 0, "old_idx": -1}]}, "output_mapping lacks"),
        ({"output_mapping": [{"new_idx": True, "old_idx": 0}]}, "output_mapping lacks"),
    ],
)
def test_what_cannot_be_read_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        replacement_from_json({**SWAP.to_json(), **changes})


def test_no_object_at_all() -> None:
    with pytest.raises(InvalidRequest, match="list, no object"):
        replacement_from_json([])

from __future__ import annotations

import pytest

from app.engine.dynamic import DynamicPrompt
from app.errors import InvalidPrompt
from app.graph.prompt import parse_prompt

DATA = {"1": {"class_type": "A", "inputs": {"x": 5}}, "2": {"class_type": "B", "inputs": {"y": ["1", 0]}}}


def test_submitted_nodes_stand_for_themselves() -> None:
    graph = DynamicPrompt(parse_prompt(DATA))
    assert graph.get_node("2") == DATA["2"]
    assert graph.get_original_prompt() == DATA
    assert graph.all_node_ids() == {"1", "2"}
    assert graph.has_node("1") and not graph.has_node("3")
    assert graph.get_parent_node_id("1") is None
    assert graph.get_display_node_id("1") == graph.get_real_node_id("1") == "1"


def test_the_original_may_be_given() -> None:
    original = {"1": {"class_type": "A", "inputs": {"x": "5"}}}
    assert DynamicPrompt(parse_prompt(DATA), original).get_original_prompt() is original


def test_expansions_know_where_they_come_from() -> None:
    graph = DynamicPrompt(parse_prompt(DATA))
    assert graph.add_expansion("2", parse_prompt({"2.1": {"class_type": "A", "inputs": {}}})) == ["2.1"]
    graph.add_expansion("2.1", parse_prompt({"2.1.1": {"class_type": "A", "override_display_id": "1"}}))
    assert graph.get_parent_node_id("2.1.1") == "2.1"
    assert graph.get_real_node_id("2.1.1") == "2"
    assert graph.get_display_node_id("2.1") == "2"
    assert graph.get_display_node_id("2.1.1") == "1"
    assert graph.node("2.1").class_type == "A"
    assert graph.get_original_prompt() == DATA


def test_an_id_is_used_once() -> None:
    graph = DynamicPrompt(parse_prompt(DATA))
    with pytest.raises(InvalidPrompt, match="the id 1, which is taken"):
        graph.add_expansion("2", parse_prompt(DATA))


def test_the_submitted_prompt_is_not_changed() -> None:
    prompt = parse_prompt(DATA)
    DynamicPrompt(prompt).add_expansion("2", parse_prompt({"3": {"class_type": "A", "inputs": {}}}))
    assert set(prompt.nodes) == {"1", "2"}

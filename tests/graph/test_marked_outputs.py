"""Outputs that a saved graph gives by name."""

from __future__ import annotations

import pytest

from app.errors import InvalidRequest
from app.graph.marked_outputs import MarkedOutput, marked_outputs
from app.graph.prompt import parse_prompt
from app.graph.spec import InputSpec, NodeSpec

SPECS = {
    "Save": NodeSpec("Save", (InputSpec("text", "STRING"),), output_node=True, help="Keeps a picture.\nMore."),
    "Blur": NodeSpec("Blur", (InputSpec("radius", "INT"),)),
}


def given(**titles: str) -> tuple[MarkedOutput, ...]:
    """What a graph gives whose nodes have these titles; the id's beginning says the class."""
    nodes = {
        name.replace("_", ":"): {"class_type": name.rpartition("_")[2].rstrip("2"), "_meta": {"title": title}}
        for name, title in titles.items()
    }
    return marked_outputs(parse_prompt(nodes), SPECS)


def test_nodes_that_show_something_give_it_by_name() -> None:
    assert given(Save="output:picture", Blur="Blur") == (MarkedOutput("picture", "Save", "Save", "Keeps a picture."),)
    assert [each.name for each in given(Save="input:text; output:first", Save2="output:second")] == ["first", "second"]


def test_a_node_that_shows_nothing_cannot_give() -> None:
    with pytest.raises(InvalidRequest, match=r"Node Blur \(Blur\) is to give 'soft', but shows nothing") as refused:
        given(Blur="output:soft")
    assert "Save Image" in refused.value.remedy


def test_names_are_given_once_in_one_place() -> None:
    with pytest.raises(InvalidRequest, match="both offer 'a'"):
        given(Save="output:a", Save2="output:a")
    assert [each.name for each in given(x_Save="output:a", y_Save="output:a")] == ["x.a", "y.a"]

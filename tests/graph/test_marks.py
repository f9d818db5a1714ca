"""Marks in titles, and the names that they give."""

from __future__ import annotations

import pytest

from app.errors import InvalidRequest
from app.graph.marks import Mark, full_names, marks_of


@pytest.mark.parametrize(
    ("title", "found"),
    [
        ("KSampler", []),
        ("My input:prompt", []),
        ("note; input:prompt", []),
        ("input:prompt", [Mark("input", "prompt")]),
        ("INPUT: my prompt ", [Mark("input", "my prompt")]),
        ("input:seed, steps@steps", [Mark("input", "seed"), Mark("input", "steps", "steps")]),
        ("output:picture", [Mark("output", "picture")]),
        ("input:text; output:a", [Mark("input", "text"), Mark("output", "a")]),
    ],
)
def test_titles(title: str, found: list[Mark]) -> None:
    assert marks_of(title) == found
    assert marks_of("; ".join(map(str, found))) == found


@pytest.mark.parametrize("title", ["input:", "input:a; ", "input:a/b", "output:,b", "input:a; notes"])
def test_marks_without_a_name(title: str) -> None:
    with pytest.raises(InvalidRequest, match="offers no name") as refused:
        marks_of(title)
    assert "NAME" in refused.value.remedy


def test_copies_of_a_subgraph_are_told_apart_by_their_place() -> None:
    assert list(full_names([("prompt", "5:1"), ("prompt", "6:2:1"), ("seed", "5:3"), ("prompt", "7")])) == [
        "5.prompt", "6.2.prompt", "seed", "prompt",
    ]  # fmt: skip
    assert list(full_names([("prompt", "5:1"), ("prompt", "5:2")])) == ["prompt", "prompt"]

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.graph.prompt import Link, parse_prompt
from app.graph.spec import InputSpec, NodeSpec
from app.graph.wildcards import resolve_prompt, resolve_text


def always(index: int) -> Callable[[int], int]:
    return lambda count: min(index, count - 1)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("a plain text", "a plain text", "a plain text"),
        ("a {red|blue} ball", "a red ball", "a blue ball"),
        ("{a|b}{c|d}", "ac", "bd"),
        ("{a|{b|c}}", "a", "c"),
        ("{a{1|2}|b}", "a1", "b"),
        ("{only}", "only", "only"),
        ("{a|}", "a", ""),
        ("{}", "", ""),
        (r"\{a\|b\}", "{a|b}", "{a|b}"),
        (r"{a\|b|c}", "a|b", "c"),
        ("a | b }", "a | b }", "a | b }"),
        ("open {a|b", "open {a|b", "open {a|b"),
        ("{a|{b|c}", "{a|b", "{a|c"),
        ("one /* two\nthree */four", "one four", "one four"),
        ("one // two\nthree", "one \nthree", "one \nthree"),
        ("{a/*|b*/|c}", "a", "c"),
    ],
)
def test_texts(text: str, first: str, last: str) -> None:
    assert resolve_text(text, always(0)) == first
    assert resolve_text(text, always(99)) == last


@given(st.text(alphabet="ab{}|\\/*\n", max_size=40), st.integers(0, 99))
def test_any_text_is_resolved_and_a_seed_repeats_it(text: str, seed: int) -> None:
    assert resolve_text(text, random.Random(seed).randrange) == resolve_text(text, random.Random(seed).randrange)


def test_depth_costs_no_stack() -> None:
    assert resolve_text("{" * 20_000 + "x" + "}" * 20_000, always(0)) == "x"


def test_only_the_inputs_that_declare_it_are_resolved() -> None:
    specs = {
        "Text": NodeSpec(
            "Text", (InputSpec("text", "STRING", options={"dynamicPrompts": True}), InputSpec("path", "STRING"))
        )
    }
    data = {
        "1": {"class_type": "Text", "inputs": {"text": "{a|b}", "path": "{a|b}"}, "_meta": {"title": "T"}},
        "2": {"class_type": "Text", "inputs": {"text": ["1", 0]}},
        "3": {"class_type": "Lost", "inputs": {"text": "{a|b}"}},
    }
    nodes = resolve_prompt(parse_prompt(data), specs, always(1)).nodes
    assert nodes["1"].inputs == {"text": "b", "path": "{a|b}"}
    assert nodes["1"].title == "T"
    assert nodes["2"].inputs == {"text": Link("1", 0)}
    assert nodes["3"].inputs == {"text": "{a|b}"}

"""The prompt language: weights and chunks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.diffusion.conditioning.prompt import Segment, chunked, parse_weights
from app.diffusion.conditioning.tokenizer import Tokenizer, learn_merges

TOKENIZER = Tokenizer(learn_merges(["a", "red", "circle", "x"]))


@pytest.mark.parametrize(
    ("prompt", "segments"),
    [
        ("red", [("red", 1.0)]),
        ("a (red) b", [("a ", 1.0), ("red", 1.1), (" b", 1.0)]),
        ("((red))", [("red", 1.21)]),
        ("(red:1.4)", [("red", 1.4)]),
        ("((red:1.4))", [("red", 1.4)]),
        ("(a (red:2) b:0.5)", [("a ", 0.5), ("red", 2.0), (" b", 0.5)]),
        ("(red:x)", [("red:x", 1.1)]),
        ("(a:b:0.3)", [("a:b", 0.3)]),
        (r"\(red\)", [("(red)", 1.0)]),
        (r"(a \(b\):1.2)", [("a (b)", 1.2)]),
        ("a (red", [("a (red", 1.0)]),
        ("a) red", [("a) red", 1.0)]),
        ("", []),
        ("()", []),
    ],
)
def test_weights(prompt: str, segments: list[tuple[str, float]]) -> None:
    parsed = parse_weights(prompt)
    assert [segment.text for segment in parsed] == [text for text, _ in segments]
    assert [segment.weight for segment in parsed] == pytest.approx([weight for _, weight in segments])


@given(st.text("ab():1.\\ ", max_size=40))
def test_any_prompt_parses(prompt: str) -> None:
    assert all(segment.text for segment in parse_weights(prompt))


def test_deep_nesting_is_no_recursion() -> None:
    assert parse_weights("(" * 3000 + "red" + ")" * 3000)[0].text == "red"


def test_one_chunk_is_framed_and_padded() -> None:
    chunk = chunked([Segment("a red circle", 1.3)], TOKENIZER, 8)[0]
    start, end = TOKENIZER.start, TOKENIZER.end
    assert chunk.tokens == (start, *TOKENIZER.encode("a red circle"), end, end, end, end)
    assert chunk.weights == (1.0, 1.3, 1.3, 1.3, 1.0, 1.0, 1.0, 1.0)
    assert chunk.end == 4


def test_padding_can_be_another_token() -> None:
    assert chunked([], TOKENIZER, 4, padding=0)[0].tokens == (TOKENIZER.start, TOKENIZER.end, 0, 0)


def test_a_short_segment_goes_whole_to_the_next_chunk() -> None:
    chunks = chunked([Segment("x x x x", 1.0), Segment("a red circle", 1.2)], TOKENIZER, 8)
    assert [chunk.end for chunk in chunks] == [5, 4]
    assert chunks[1].weights[1:4] == (1.2, 1.2, 1.2)


def test_a_long_segment_is_cut_at_the_border() -> None:
    chunks = chunked([Segment("x " * 14, 1.0)], TOKENIZER, 8)
    assert [chunk.end - 1 for chunk in chunks] == [6, 6, 2]


@given(st.lists(st.tuples(st.text("axr ", max_size=30), st.floats(0.1, 2)), max_size=6))
def test_no_token_is_lost(parts: list[tuple[str, float]]) -> None:
    segments = [Segment(text, weight) for text, weight in parts]
    chunks = chunked(segments, TOKENIZER, 8)
    kept = [token for chunk in chunks for token in chunk.tokens[1 : chunk.end]]
    assert kept == [token for segment in segments for token in TOKENIZER.encode(segment.text)]

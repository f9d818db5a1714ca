"""The prompt language: weights and chunks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from app.diffusion.conditioning.prompt import Framing, Segment, chunked, parse_weights
from app.diffusion.conditioning.tokenizer import Tokenizer, learn_merges

TOKENIZER = Tokenizer(learn_merges(["a", "red", "circle", "x"]))
FRAMING = Framing(TOKENIZER.end, TOKENIZER.end, TOKENIZER.start, 8)
ONE_CHUNK = Framing(1, 0)
VECTORS = torch.arange(6.0).reshape(2, 3)


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
    chunk = chunked([Segment("a red circle", 1.3)], TOKENIZER.encode, FRAMING)[0]
    start, end = TOKENIZER.start, TOKENIZER.end
    assert chunk.tokens == (start, *TOKENIZER.encode("a red circle"), end, end, end, end)
    assert chunk.weights == (1.0, 1.3, 1.3, 1.3, 1.0, 1.0, 1.0, 1.0)
    assert chunk.end == 4


def test_padding_can_be_another_token() -> None:
    framing = Framing(TOKENIZER.end, 0, TOKENIZER.start, 4)
    assert chunked([], TOKENIZER.encode, framing)[0].tokens == (TOKENIZER.start, TOKENIZER.end, 0, 0)


def test_a_short_segment_goes_whole_to_the_next_chunk() -> None:
    chunks = chunked([Segment("x x x x", 1.0), Segment("a red circle", 1.2)], TOKENIZER.encode, FRAMING)
    assert [chunk.end for chunk in chunks] == [5, 4]
    assert chunks[1].weights[1:4] == (1.2, 1.2, 1.2)


def test_a_long_segment_is_cut_at_the_border() -> None:
    chunks = chunked([Segment("x " * 14, 1.0)], TOKENIZER.encode, FRAMING)
    assert [chunk.end - 1 for chunk in chunks] == [6, 6, 2]


@given(st.lists(st.tuples(st.text("axr ", max_size=30), st.floats(0.1, 2)), max_size=6))
def test_no_token_is_lost(parts: list[tuple[str, float]]) -> None:
    segments = [Segment(text, weight) for text, weight in parts]
    chunks = chunked(segments, TOKENIZER.encode, FRAMING)
    kept = [token for chunk in chunks for token in chunk.tokens[1 : chunk.end]]
    assert kept == [token for segment in segments for token in TOKENIZER.encode(segment.text)]


@pytest.mark.parametrize(("least", "spare", "length"), [(0, 0, 13), (20, 0, 20), (0, 3, 16), (14, 3, 16), (10, 0, 13)])
def test_without_a_length_there_is_one_chunk_padded_to_the_least(least: int, spare: int, length: int) -> None:
    framing = Framing(1, 0, least=least, spare=spare)
    (chunk,) = chunked([Segment("x " * 12, 2.0)], TOKENIZER.encode, framing)
    assert len(chunk.tokens) == len(chunk.weights) == length
    assert chunk.tokens[12:] == (1, *([0] * (length - 13)))
    assert chunk.weights == (*([2.0] * 12), *([1.0] * (length - 12)))
    assert chunk.end == 12


def lookup(name: str) -> torch.Tensor | None:
    return VECTORS if name == "mine" else None


@pytest.mark.parametrize(
    ("text", "words", "places"),
    [
        ("embedding:mine", [0, 0], [0, 1]),
        ("red embedding:mine x", ["red", 0, 0, "x"], [1, 2]),
        ("red\nembedding:mine, x", ["red", 0, 0, ",", "x"], [1, 2]),
        ("embedding:mine embedding:mine", [0, 0, 0, 0], [0, 1, 2, 3]),
        ("red embedding:other x", ["red", "x"], []),
        ("red embedding:other, x", ["red", ",", "x"], []),
        ("redembedding:mine", ["redembedding:mine"], []),
    ],
)
def test_embeddings_stand_where_their_names_do(text: str, words: list[str | int], places: list[int]) -> None:
    (chunk,) = chunked([Segment(text, 1.5)], TOKENIZER.encode, ONE_CHUNK, lookup)
    tokens = [token for word in words for token in (TOKENIZER.encode(word) if isinstance(word, str) else [word])]
    assert chunk.tokens == (*tokens, 1)
    assert [place for place, _ in chunk.vectors] == places
    assert all(torch.equal(vector, VECTORS[i % 2]) for i, (_, vector) in enumerate(chunk.vectors))
    assert set(chunk.weights[:-1]) <= {1.5}


def test_a_missing_embedding_is_told(caplog: pytest.LogCaptureFixture) -> None:
    chunked([Segment("embedding:other", 1.0)], TOKENIZER.encode, ONE_CHUNK, lookup)
    assert "'other'" in caplog.text


def test_an_embedding_of_few_vectors_goes_whole_to_the_next_chunk() -> None:
    chunks = chunked([Segment("x x x x x embedding:mine", 1.0)], TOKENIZER.encode, FRAMING, lookup)
    assert [len(chunk.vectors) for chunk in chunks] == [0, 2]
    assert chunks[1].vectors[0][0] == 1


def test_the_first_end_token_is_where_the_text_ends() -> None:
    (chunk,) = chunked([Segment("x <|endoftext|> x", 1.0)], TOKENIZER.encode, FRAMING)
    assert chunk.end == 2

"""The prompt language: weights in parentheses, and cutting a prompt into chunks of tokens.

`(text)` multiplies the weight by 1.1 per level, `(text:1.3)` sets it, `\\(` and `\\)` are plain parentheses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.diffusion.conditioning.tokenizer import Tokenizer

EMPHASIS = 1.1
KEPT_WHOLE = 8  # a weighted segment of fewer tokens is not cut at a chunk's border


class Segment(NamedTuple):
    """A stretch of text and its weight."""

    text: str
    weight: float


class WeightedToken(NamedTuple):
    """A token id and its weight."""

    token: int
    weight: float


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens of one pass through the text tower, all chunks equally long, and where the end token stands."""

    tokens: tuple[int, ...]
    weights: tuple[float, ...]
    end: int


def parse_weights(prompt: str) -> list[Segment]:
    """The weighted segments of a prompt, in order. Parentheses that do not close are text."""
    marked = prompt.replace("\\(", "\0").replace("\\)", "\1")
    segments: list[Segment] = []
    pending: list[tuple[str, float]] = [(marked, 1.0)]
    while pending:
        text, weight = pending.pop()
        parts = list(_parenthesised(text))
        if len(parts) == 1 and not parts[0][1]:
            segments.append(Segment(_unmark(parts[0][0]), weight))
            continue
        inner = [(part, weight) if not nested else _nested(part, weight) for part, nested in parts]
        pending.extend(reversed(inner))
    return [segment for segment in segments if segment.text]


def _unmark(text: str) -> str:
    return text.replace("\0", "(").replace("\1", ")")


def _nested(inside: str, weight: float) -> tuple[str, float]:
    """Text and weight of what stood in parentheses: an explicit number after the last colon, or the emphasis."""
    before, colon, after = inside.rpartition(":")
    if colon and before:
        try:
            return before, float(after)
        except ValueError:
            pass
    return inside, weight * EMPHASIS


def _parenthesised(text: str) -> Iterator[tuple[str, bool]]:
    """Outermost parentheses (without them) and the text between, as (part, was in parentheses)."""
    depth = start = 0
    closing = _balanced(text)
    for index, character in enumerate(text):
        if character == "(" and index in closing:
            if depth == 0 and index > start:
                yield text[start:index], False
            if depth == 0:
                start = index + 1
            depth += 1
        elif character == ")" and index in closing:
            depth -= 1
            if depth == 0:
                yield text[start:index], True
                start = index + 1
    if start < len(text) or not text:
        yield text[start:], False


def _balanced(text: str) -> set[int]:
    """The places of parentheses that have a partner."""
    opened: list[int] = []
    balanced: set[int] = set()
    for index, character in enumerate(text):
        if character == "(":
            opened.append(index)
        elif character == ")" and opened:
            balanced |= {opened.pop(), index}
    return balanced


def chunked(segments: Sequence[Segment], tokenizer: Tokenizer, length: int, padding: int | None = None) -> list[Chunk]:
    """Cut a prompt into chunks of `length` tokens: start, up to `length` − 2 tokens, end, padding.

    A short segment that does not fit goes whole to the next chunk. Padding is the end token unless given.
    """
    room = length - 2
    chunks: list[list[WeightedToken]] = [[]]
    for segment in segments:
        tokens = [WeightedToken(token, segment.weight) for token in tokenizer.encode(segment.text)]
        while tokens:
            left = room - len(chunks[-1])
            if len(tokens) <= left:
                chunks[-1].extend(tokens)
                break
            if len(tokens) >= KEPT_WHOLE:
                chunks[-1].extend(tokens[:left])
                tokens = tokens[left:]
            chunks.append([])
    return [_framed(chunk, tokenizer, length, tokenizer.end if padding is None else padding) for chunk in chunks]


def _framed(chunk: Sequence[WeightedToken], tokenizer: Tokenizer, length: int, padding: int) -> Chunk:
    fill = length - 2 - len(chunk)
    tokens = (tokenizer.start, *(item.token for item in chunk), tokenizer.end, *([padding] * fill))
    weights = (1.0, *(item.weight for item in chunk), 1.0, *([1.0] * fill))
    return Chunk(tokens, weights, len(chunk) + 1)

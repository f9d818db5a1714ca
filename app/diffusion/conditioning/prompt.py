"""The prompt language: weights in parentheses, and cutting a prompt into chunks of tokens.

`(text)` multiplies the weight by 1.1 per level, `(text:1.3)` sets it, `\\(` and `\\)` are plain parentheses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.diffusion.conditioning.tokenizer import Tokenizer

EMPHASIS = 1.1
LONGEST_NUMBER = 32  # characters after a colon that can be a weight
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
    """The weighted segments of a prompt, in order, in one pass. Parentheses that do not close are text."""
    text = prompt.replace("\\(", "\0").replace("\\)", "\1")
    closing = _partners(text)
    closers = set(closing.values())
    weights, ends = [1.0], [len(text)]  # of the groups that are open: weight, and where their text ends
    segments: list[Segment] = []
    start = 0
    for index in sorted(closers.union(closing)):
        if index in closing:
            segments.append(Segment(text[start:index], weights[-1]))
            weight, end = _group(text, index + 1, closing[index], weights[-1])
            weights.append(weight)
            ends.append(end)
            start = index + 1
        else:
            segments.append(Segment(text[start : max(start, ends.pop())], weights.pop()))
            start = index + 1
    segments.append(Segment(text[start:], weights[-1]))
    kept = (Segment(segment.text.replace("\0", "(").replace("\1", ")"), segment.weight) for segment in segments)
    return [segment for segment in kept if segment.text]


def _group(text: str, start: int, end: int, outer: float) -> tuple[float, int]:
    """Weight of a group and where its text ends: at a number after its last colon, or at its closing parenthesis."""
    colon = text.rfind(":", max(start, end - LONGEST_NUMBER), end)
    if colon > start:
        try:
            weight = float(text[colon + 1 : end])
        except ValueError:
            weight = math.nan
        if math.isfinite(weight):
            return weight, colon
    return outer * EMPHASIS, end


def _partners(text: str) -> dict[int, int]:
    """The place of each opening parenthesis that has a partner, and where that stands."""
    opened: list[int] = []
    partners: dict[int, int] = {}
    for index, character in enumerate(text):
        if character == "(":
            opened.append(index)
        elif character == ")" and opened:
            partners[opened.pop()] = index
    return partners


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
            if len(tokens) >= KEPT_WHOLE or left == room:
                chunks[-1].extend(tokens[:left])
                tokens = tokens[left:]
            chunks.append([])
    return [_framed(chunk, tokenizer, length, tokenizer.end if padding is None else padding) for chunk in chunks]


def _framed(chunk: Sequence[WeightedToken], tokenizer: Tokenizer, length: int, padding: int) -> Chunk:
    fill = length - 2 - len(chunk)
    tokens = (tokenizer.start, *(item.token for item in chunk), tokenizer.end, *([padding] * fill))
    weights = (1.0, *(item.weight for item in chunk), 1.0, *([1.0] * fill))
    return Chunk(tokens, weights, len(chunk) + 1)

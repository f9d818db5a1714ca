"""The prompt language: weights in parentheses, embeddings by name, and cutting a prompt into chunks of tokens.

`(text)` multiplies the weight by 1.1 per level, `(text:1.3)` sets it, `\\(` and `\\)` are plain parentheses;
`embedding:name` stands for the learnt vectors of a file.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from app.errors import InvalidRequest

log = logging.getLogger(__name__)

EMPHASIS = 1.1
LARGEST_WEIGHT = 1000.0  # features of some dozens become too large for float16 not far beyond
SHOWN = 40  # characters of a prompt that an error shows
LONGEST_NUMBER = 32  # characters after a colon that can be a weight
KEPT_WHOLE = 8  # a weighted segment of fewer tokens is not cut at a chunk's border


class Segment(NamedTuple):
    """A stretch of text and its weight."""

    text: str
    weight: float


# The vectors (n, C) of an embedding, None where there is none of that name.
Lookup = Callable[[str], Tensor | None]
Encode = Callable[[str], list[int]]


class WeightedToken(NamedTuple):
    """A token id, or a vector (C,) in its place, and its weight."""

    token: int | Tensor
    weight: float


@dataclass(frozen=True, slots=True)
class Framing:
    """How tokens become chunks: start (if any), tokens, end, padding.

    `length` is that of every chunk; None puts all tokens in one, padded by `spare` tokens and then up to `least`.
    """

    end: int
    padding: int
    start: int | None = None
    length: int | None = None
    least: int = 0
    spare: int = 0

    @property
    def room(self) -> float:
        """Tokens that a chunk has place for beside start and end."""
        return math.inf if self.length is None else self.length - 1 - (self.start is not None)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens of one pass through the text tower and their weights; `end` is the place of the first end token.

    `vectors` (C,) stand in place of the tokens at their index.
    """

    tokens: tuple[int, ...]
    weights: tuple[float, ...]
    end: int
    vectors: tuple[tuple[int, Tensor], ...] = ()


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


def checked_weights(segments: Sequence[Segment]) -> Sequence[Segment]:
    """The segments, if their weights can be computed with. Raises InvalidRequest, which shows the weight."""
    for text, weight in segments:
        if not abs(weight) <= LARGEST_WEIGHT:
            shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
            raise InvalidRequest(
                f"In the prompt {shown!r} has the weight {weight:g}, which is too large to compute with.",
                remedy=f"Usual are weights from 0.5 to 1.5, as in (word:1.2); {LARGEST_WEIGHT:g} is the most.",
            )
    return segments


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


EMBEDDING = re.compile(r"(?:^|[ \n])embedding:(\S*)")


def weighted_tokens(segment: Segment, encode: Encode, lookup: Lookup | None) -> Iterator[list[WeightedToken]]:
    """The tokens of a segment in runs that belong together: its texts, and its embeddings."""
    text, place = segment.text, 0
    for found in EMBEDDING.finditer(text) if lookup else ():
        yield [WeightedToken(token, segment.weight) for token in encode(text[place : found.start()])]
        name, place = found[1], found.end()
        vectors = lookup(name) if lookup else None
        if vectors is None and lookup and (bare := name.rstrip(",")) != name:
            name, place = bare, found.start(1) + len(bare)
            vectors = lookup(bare)
        if vectors is None:
            log.warning("There is no embedding %r; it is left out of the prompt.", name)
            continue
        yield [WeightedToken(vector, segment.weight) for vector in vectors]
    yield [WeightedToken(token, segment.weight) for token in encode(text[place:])]


def chunked(segments: Sequence[Segment], encode: Encode, framing: Framing, lookup: Lookup | None = None) -> list[Chunk]:
    """Cut a prompt into chunks.

    A short run of tokens that does not fit goes whole to the next chunk; a longer one is cut at the border.
    """
    chunks: list[list[WeightedToken]] = [[]]
    for tokens in (run for segment in segments for run in weighted_tokens(segment, encode, lookup)):
        whole = len(tokens) < KEPT_WHOLE
        while tokens:
            left = framing.room - len(chunks[-1])
            if len(tokens) <= left:
                chunks[-1].extend(tokens)
                break
            if not whole or left == framing.room:
                chunks[-1].extend(tokens[: int(left)])
                tokens = tokens[int(left) :]
            chunks.append([])
    return [_framed(chunk, framing) for chunk in chunks]


def _framed(chunk: Sequence[WeightedToken], framing: Framing) -> Chunk:
    opening = () if framing.start is None else (framing.start,)
    # A vector's own token is never looked up; the padding stands there.
    inner = (item.token if isinstance(item.token, int) else framing.padding for item in chunk)
    tokens = (*opening, *inner, framing.end)
    fill = max(framing.spare, framing.least - len(tokens)) if framing.length is None else framing.length - len(tokens)
    vectors = tuple((i, item.token) for i, item in enumerate(chunk, len(opening)) if isinstance(item.token, Tensor))
    places = {place for place, _ in vectors}
    end = next(i for i, token in enumerate(tokens) if token == framing.end and i not in places)
    weights = (*(1.0 for _ in opening), *(item.weight for item in chunk), 1.0, *([1.0] * fill))
    return Chunk((*tokens, *([framing.padding] * fill)), weights, end, vectors)

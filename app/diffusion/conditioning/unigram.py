"""Unigram tokenization as T5 does it (Kudo 2018, arXiv:1804.10959): the most probable way to cut a text into pieces.

A vocabulary comes from a SentencePiece model (spiece.model) or from a tokenizer.json with the same content.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

from app.errors import UnusableFile

BLANK = "▁"  # stands for a blank, and before the first word
UNKNOWN_PENALTY = 10.0  # below the least probable piece; SentencePiece's own
NORMAL, UNKNOWN, USER_DEFINED = 1, 2, 4  # of SentencePiece's kinds of pieces, those that text can become


class CharacterMap:
    """SentencePiece's compiled replacement of characters: the longest known beginning of a text, and what it becomes.

    The first four bytes tell the size of a double-array trie (Aoe 1989), which follows; then the replacements, each
    ended by a zero byte, at the offsets that the trie holds.
    """

    def __init__(self, compiled: bytes) -> None:
        size = int.from_bytes(compiled[:4], "little")
        if size % 4 or len(compiled) < 4 + size:
            raise ValueError("the table of characters is cut short")
        self._units = array("I", struct.unpack(f"<{size // 4}I", compiled[4 : 4 + size]))
        self._texts = compiled[4 + size :]

    def __call__(self, text: str) -> str:
        """The text with every character replaced that has a replacement."""
        data = text.encode(errors="replace")
        replaced: list[bytes] = []
        place = 0
        while place < len(data):
            length, value = self._longest(data, place)
            if value is None:
                length = _bytes_of_character(data[place])
                replaced.append(data[place : place + length])
            else:
                replaced.append(self._texts[value : self._texts.index(0, value)])
            place += length
        return b"".join(replaced).decode(errors="replace")

    def _longest(self, data: bytes, start: int) -> tuple[int, int | None]:
        """How many bytes from `start` on are known as one, and where their replacement begins."""
        if not self._units:
            return 0, None
        node = _offset(self._units[0])
        length, value = 0, None
        for index in range(start, len(data)):
            node ^= data[index]
            if node >= len(self._units):
                break
            unit = self._units[node]
            if unit & 0x800000FF != data[index]:
                break
            node ^= _offset(unit)
            if unit >> 8 & 1:
                length, value = index + 1 - start, self._units[node] & 0x7FFFFFFF
        return length, value


def _offset(unit: int) -> int:
    return unit >> 10 << ((unit & 1 << 9) >> 6)


def _bytes_of_character(first: int) -> int:
    return 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4


@dataclass(slots=True)
class UnigramWords:
    """A tokenizer; `pieces` are (text, log probability) in the order of the ids, None for those that no text becomes.

    See `text_encoder.Words`: T5 has no start token.
    """

    pieces: Sequence[tuple[str, float] | None]
    unknown: int
    end: int
    characters: CharacterMap | None = None
    start: None = None
    _ids: dict[str, int] = field(init=False, repr=False)
    _scores: dict[str, float] = field(init=False, repr=False)
    _longest: int = field(init=False, repr=False)
    _least: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        known = [(index, piece) for index, piece in enumerate(self.pieces) if piece is not None]
        self._ids = {text: index for index, (text, _) in known}
        self._scores = {text: score for _, (text, score) in known}
        self._longest = max(map(len, self._ids), default=0)
        self._least = min(self._scores.values(), default=0.0) - UNKNOWN_PENALTY

    def encode(self, text: str) -> list[int]:
        """Ids of a text; neighbouring characters that no piece covers are one unknown."""
        text = self.characters(text) if self.characters else text
        words = [word for word in text.split(" ") if word]
        return [token for word in words for token in self._encode_word(BLANK + word)]

    def _encode_word(self, word: str) -> Iterator[int]:
        best = [0.0] + [-math.inf] * len(word)
        begins = [0] * (len(word) + 1)
        for start in range(len(word)):
            for end in range(start + 1, min(len(word), start + self._longest) + 1):
                score = self._scores.get(word[start:end])
                if score is None:
                    if end > start + 1:
                        continue
                    score = self._least
                if best[start] + score > best[end]:
                    best[end], begins[end] = best[start] + score, start
        cuts = [len(word)]
        while cuts[-1]:
            cuts.append(begins[cuts[-1]])
        cuts.reverse()
        before = -1
        for start, end in pairwise(cuts):
            token = self._ids.get(word[start:end], self.unknown)
            if token != self.unknown or before != self.unknown:
                yield token
            before = token


def words_of_sentencepiece(model: bytes, name: str) -> UnigramWords:
    """The tokenizer in a SentencePiece model file, for messages called `name`.

    Raises:
        UnusableFile: something else, or a model of another kind than unigram.
    """
    try:
        messages = list(_fields(model))
        kinds = [_piece(value) for number, value in messages if number == 1 and isinstance(value, bytes)]
        compiled = [inner for number, value in messages if number == 3 for inner in _bytes_at(value, 2)]
        characters = CharacterMap(compiled[0]) if compiled and compiled[0] else None
    except (ValueError, IndexError, struct.error) as error:
        raise _foreign(name, str(error)) from error
    pieces = [(text, score) if kind in (NORMAL, USER_DEFINED) else None for text, score, kind in kinds]
    texts = {text: index for index, (text, _, _) in enumerate(kinds)}
    unknown = next((index for index, (_, _, kind) in enumerate(kinds) if kind == UNKNOWN), None)
    if unknown is None or "</s>" not in texts:
        raise _foreign(name, "it has no pieces <unk> and </s>")
    return UnigramWords(pieces, unknown, texts["</s>"], characters)


def words_of_tokenizer_json(text: str, name: str) -> UnigramWords:
    """The tokenizer in a tokenizer.json with a unigram model, for messages called `name`. Raises UnusableFile."""
    try:
        data: Any = json.loads(text)
        model = data["model"]
        vocabulary = [(str(piece), float(score)) for piece, score in model["vocab"]]
        special = {str(token["content"]) for token in data.get("added_tokens", []) if token.get("special")}
        compiled = _compiled_in(data.get("normalizer"))
        characters = CharacterMap(base64.b64decode(compiled)) if compiled else None
        unknown = int(model["unk_id"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error, struct.error) as error:
        raise _foreign(name, f"it is no unigram tokenizer ({error})") from error
    ends = [index for index, (piece, _) in enumerate(vocabulary) if piece == "</s>"]
    if not ends:
        raise _foreign(name, "it has no piece </s>")
    pieces = [None if piece in special or i == unknown else (piece, p) for i, (piece, p) in enumerate(vocabulary)]
    return UnigramWords(pieces, unknown, ends[0], characters)


def _compiled_in(normalizer: Any) -> str:
    """The compiled characters in a normaliser, which may be a sequence of such."""
    if not isinstance(normalizer, Mapping):
        return ""
    entries = cast("Mapping[str, Any]", normalizer)
    inner = (_compiled_in(each) for each in entries.get("normalizers", ()))
    return str(entries.get("precompiled_charsmap") or next((found for found in inner if found), ""))


def _piece(message: bytes) -> tuple[str, float, int]:
    """A piece's text, log probability and kind."""
    values = dict(_fields(message))
    text, score, kind = values.get(1, b""), values.get(2, b"\0\0\0\0"), values.get(3, NORMAL)
    if not isinstance(text, bytes) or not isinstance(score, bytes) or not isinstance(kind, int):
        raise ValueError("a piece is not as pieces are")
    return text.decode(), struct.unpack("<f", score)[0], kind


def _bytes_at(message: bytes | int, wanted: int) -> Iterator[bytes]:
    if isinstance(message, bytes):
        yield from (value for number, value in _fields(message) if number == wanted and isinstance(value, bytes))


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Number and value of each field of a Protocol Buffers message; numbers of fixed width stay bytes."""
    place = 0
    while place < len(message):
        key, place = _number(message, place)
        kind = key & 7
        if kind == 0:
            value, place = _number(message, place)
        else:
            length = 4 if kind == 5 else 8
            if kind == 2:
                length, place = _number(message, place)
            elif kind not in (1, 5):
                raise ValueError("it is no SentencePiece model")
            value = message[place : place + length]
            place += length
            if place > len(message):
                raise ValueError("it is cut short")
        yield key >> 3, value


def _number(message: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place after it."""
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
        if shift > 63:
            raise ValueError("it is no SentencePiece model")


def _foreign(name: str, why: str) -> UnusableFile:
    return UnusableFile(
        f"The vocabulary {name!r} cannot be used: {why}.",
        remedy="Take spiece.model or tokenizer.json from the folder of the published text encoder.",
    )

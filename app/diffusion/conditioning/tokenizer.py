"""Byte-level byte-pair encoding as CLIP does it (Sennrich et al. 2016, arXiv:1508.07909; Radford et al. 2021).

A word is turned into printable stand-ins for its UTF-8 bytes, the last marked with `</w>`, and pairs are merged in
the order of the merge table. Ids: the 256 bytes, the same with `</w>`, one per merge, then start and end of text.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

Pair = tuple[str, str]
END_OF_WORD = "</w>"
# Letters, single digits, and runs of anything else; English contractions are cut off first.
WORD = re.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|(?:[^\s\w]|_)+", re.IGNORECASE
)


def byte_symbols() -> dict[int, str]:
    """A printable character for each byte, in the order of the ids.

    Printable Latin-1 comes first and stands for itself; the other bytes follow as characters from U+0100 on.
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + index) for index, byte in enumerate(others)}


class Tokenizer:
    """Text to token ids for one merge table; `start` and `end` are the ids of the two special tokens."""

    def __init__(self, merges: Sequence[Pair]) -> None:
        self._symbols = byte_symbols()
        alphabet = list(self._symbols.values())
        entries = [*alphabet, *(symbol + END_OF_WORD for symbol in alphabet), *("".join(pair) for pair in merges)]
        self.merges = list(merges)
        self._ids = {entry: index for index, entry in enumerate(entries)}
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._words: dict[str, list[int]] = {}
        self.start = len(entries)
        self.end = self.start + 1

    def __len__(self) -> int:
        """The number of ids."""
        return self.end + 1

    def encode(self, text: str) -> list[int]:
        """Token ids of the text in lower case, without start and end; any text encodes."""
        text = html.unescape(html.unescape(text))
        text = " ".join(text.split()).lower()
        return [token for word in WORD.findall(text) for token in self._encode_word(word)]

    def _encode_word(self, word: str) -> list[int]:
        known = self._words.get(word)
        if known is None:
            special = {"<|startoftext|>": [self.start], "<|endoftext|>": [self.end]}
            known = special.get(word) or [self._ids[part] for part in self._merge(word)]
            if len(self._words) < 100_000:  # a bound, so that a stream of random words cannot fill the memory
                self._words[word] = known
        return known

    def _merge(self, word: str) -> list[str]:
        parts = [self._symbols[byte] for byte in word.encode()]
        parts[-1] += END_OF_WORD
        while len(parts) > 1:
            pair = min(pairwise(parts), key=lambda p: self._ranks.get(p, len(self._ranks)))
            if pair not in self._ranks:
                break
            parts = merge_pair(parts, pair)
        return parts

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of token ids, words separated by single blanks; special and unknown ids are left out."""
        entries = {index: entry for entry, index in self._ids.items()}
        bytes_of = {symbol: byte for byte, symbol in self._symbols.items()}
        text = "".join(entries.get(token, "") for token in tokens).replace(END_OF_WORD, " ")
        return bytes(32 if c == " " else bytes_of[c] for c in text).decode(errors="replace").strip()


def merge_pair(parts: Sequence[str], pair: Pair) -> list[str]:
    """Join every occurrence of the pair, from left to right."""
    merged: list[str] = []
    index = 0
    while index < len(parts):
        if tuple(parts[index : index + 2]) == pair:
            merged.append(parts[index] + parts[index + 1])
            index += 2
        else:
            merged.append(parts[index])
            index += 1
    return merged


def learn_merges(words: Iterable[str]) -> list[Pair]:
    """The merges that make each of the words one token: the most frequent pair first, ties in alphabetical order."""
    symbols = byte_symbols()
    split = {word: [symbols[byte] for byte in word.encode()] for word in words}
    for parts in split.values():
        parts[-1] += END_OF_WORD
    merges: list[Pair] = []
    while True:
        pairs = Counter(pair for parts in split.values() for pair in pairwise(parts))
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        split = {word: merge_pair(parts, best) for word, parts in split.items()}

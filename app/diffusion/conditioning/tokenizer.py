"""Byte-level byte-pair encoding as CLIP does it (Sennrich et al. 2016, arXiv:1508.07909; Radford et al. 2021).

A word is turned into printable stand-ins for its UTF-8 bytes, the last marked with `</w>`, and pairs are merged in
the order of the merge table. Ids: the 256 bytes, the same with `</w>`, one per merge, then start and end of text.
Text is prepared as the tokenizers do it that Stable Diffusion's models are used with: composed, blanks made one,
lower case letter by letter. (CLIP's own release also repairs mistaken encodings and HTML entities.)
"""

from __future__ import annotations

import gzip
import heapq
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import resources
from itertools import pairwise

Pair = tuple[str, str]
END_OF_WORD = "</w>"
SPECIAL = re.compile(r"<\|startoftext\|>|<\|endoftext\|>")
# Cut off where a word begins; each is tried in this order.
PREFIXES = ("<|startoftext|>", "<|endoftext|>", "'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
# Unicode's White_Space; Python's own idea of it has four control characters more.
BLANKS = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
ASCII_WORD = re.compile(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^ a-z0-9]+")


def byte_symbols() -> dict[int, str]:
    """A printable character for each byte, in the order of the ids.

    Printable Latin-1 comes first and stands for itself; the other bytes follow as characters from U+0100 on.
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + index) for index, byte in enumerate(others)}


def prepared(text: str) -> str:
    """The text composed (NFC), its blanks single and its letters small, each for itself: Σ is σ, never ς."""
    text = BLANKS.sub(" ", unicodedata.normalize("NFC", text))
    return text.replace("Σ", "σ").lower()


def words(text: str) -> Iterator[str]:
    """The words of a prepared text: contractions, runs of letters, single digits, runs of anything else but blanks."""
    for word in ASCII_WORD.findall(text) if text.isascii() else _words_of_any_script(text):
        # Written in capitals, the special words are none, but still end where they end.
        yield from ("<|", word[2:-2], "|>") if SPECIAL.fullmatch(word) else (word,)


def _words_of_any_script(text: str) -> Iterator[str]:
    place = 0
    while place < len(text):
        kind = kind_of(text[place])
        end = place + 1
        if prefix := next((p for p in PREFIXES if text.startswith(p, place)), None):
            end = place + len(prefix)
        elif kind in "L*":
            while end < len(text) and kind_of(text[end]) == kind:
                end += 1
        if kind != " ":
            yield text[place:end]
        place = end


def kind_of(character: str) -> str:
    """L for a letter, N for a number of any script, a blank, * for anything else."""
    if character == " ":
        return character
    category = unicodedata.category(character)[0]
    return category if category in "LN" else "*"


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
        tokens: list[int] = []
        place = 0
        for special in SPECIAL.finditer(text):
            tokens += self._encode_plain(text[place : special.start()])
            tokens.append(self.start if special[0] == "<|startoftext|>" else self.end)
            place = special.end()
        return tokens + self._encode_plain(text[place:])

    def _encode_plain(self, text: str) -> list[int]:
        return [token for word in words(prepared(text)) for token in self._encode_word(word)]

    def _encode_word(self, word: str) -> list[int]:
        known = self._words.get(word)
        if known is None:
            known = [self._ids[part] for part in self._merge(word)]
            if len(self._words) < 100_000:  # a bound, so that a stream of random words cannot fill the memory
                self._words[word] = known
        return known

    def _merge(self, word: str) -> list[str]:
        """The word's symbols after all merges; the best pair first, then the leftmost. O(n log n), for any word."""
        parts = [self._symbols[byte] for byte in word.encode(errors="replace")]
        parts[-1] += END_OF_WORD
        before, after = list(range(-1, len(parts) - 1)), list(range(1, len(parts) + 1))
        waiting = [(self._ranks[pair], index) for index, pair in enumerate(pairwise(parts)) if pair in self._ranks]
        heapq.heapify(waiting)
        while waiting:
            rank, left = heapq.heappop(waiting)
            right = after[left]
            if right >= len(parts) or self._ranks.get((parts[left], parts[right])) != rank:
                continue  # one of the two was merged into another since
            parts[left], parts[right] = parts[left] + parts[right], ""
            after[left] = after[right]
            for first, second in ((before[left], left), (left, after[left])):
                if first >= 0 and second < len(parts):
                    before[second] = first
                    pair = parts[first], parts[second]
                    if pair in self._ranks:
                        heapq.heappush(waiting, (self._ranks[pair], first))
        return [part for part in parts if part]

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


@cache
def clip_tokenizer() -> Tokenizer:
    """The tokenizer of every published CLIP text tower, from the merge table that ships with the program."""
    packed = resources.files("app.diffusion.conditioning").joinpath("data", "clip_merges.txt.gz").read_bytes()
    pairs = (line.partition(" ") for line in gzip.decompress(packed).decode().splitlines())
    return Tokenizer([(left, right) for left, _, right in pairs])

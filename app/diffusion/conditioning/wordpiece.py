"""Word pieces as BERT cuts them (Devlin et al. 2019, arXiv:1810.04805; its uncased vocabularies)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from app.errors import UnusableFile

LONGEST_WORD = 100  # characters; a longer one is unknown
# Blocks of ideographs, each of which is a word: CJK Unified, Extensions A to E, and the two of compatibility.
IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPieces:
    """A tokenizer for the lines of a vocab.txt; in lower case, without accents. See `text_encoder.Words`.

    Raises:
        UnusableFile: a vocabulary without the special pieces; `name` is the file's.
    """

    def __init__(self, vocabulary: Sequence[str], name: str = "vocab.txt") -> None:
        self._ids = {piece: index for index, piece in enumerate(vocabulary)}
        missing = [piece for piece in ("[PAD]", "[UNK]", "[CLS]", "[SEP]") if piece not in self._ids]
        if missing:
            raise UnusableFile(
                f"The vocabulary {name!r} has no {', '.join(missing)}.",
                remedy="Take vocab.txt from the folder of bert-base-uncased.",
            )
        self.start, self.end = self._ids["[CLS]"], self._ids["[SEP]"]
        self._unknown = self._ids["[UNK]"]

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without start and end."""
        return [token for word in _words(text) for token in self._encode_word(word)]

    def _encode_word(self, word: str) -> list[int]:
        """The longest known piece, again and again; a word with an unknown rest is unknown as a whole."""
        if len(word) > LONGEST_WORD:
            return [self._unknown]
        tokens: list[int] = []
        start = 0
        while start < len(word):
            mark = "##" if start else ""
            end = next((end for end in range(len(word), start, -1) if mark + word[start:end] in self._ids), None)
            if end is None:
                return [self._unknown]
            tokens.append(self._ids[mark + word[start:end]])
            start = end
        return tokens


def _words(text: str) -> Iterator[str]:
    """Runs of characters between blanks; punctuation and ideographs are words of one character."""
    spaced = "".join(f" {c} " if _is_ideograph(c) else " " if c.isspace() else c for c in text if not _is_noise(c))
    plain = "".join(c for c in unicodedata.normalize("NFD", spaced) if unicodedata.category(c) != "Mn")
    word = ""
    for character in plain.replace("Σ", "σ").lower():
        if character.isspace() or _is_punctuation(character):
            if word:
                yield word
            word = ""
            if not character.isspace():
                yield character
        else:
            word += character
    if word:
        yield word


def _is_noise(character: str) -> bool:
    """Control characters other than blanks, and the sign of a broken text."""
    return character in "\0\ufffd" or (unicodedata.category(character)[0] == "C" and character not in "\t\n\r")


def _is_ideograph(character: str) -> bool:
    code = ord(character)
    return code >= 0x3400 and any(first <= code <= last for first, last in IDEOGRAPHS)


def _is_punctuation(character: str) -> bool:
    """What Unicode calls so, and all of ASCII's signs."""
    if character.isascii():
        return not character.isalnum() and character > " " and character != "\x7f"
    return unicodedata.category(character)[0] == "P"

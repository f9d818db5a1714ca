"""Word pieces as an independent tokenizer finds them."""

from __future__ import annotations

import random
import string
from pathlib import Path
from typing import Any

import pytest

from app.diffusion.conditioning.wordpiece import WordPieces
from app.errors import UnusableFile
from tests.diffusion.conditioning.strange import LETTERS, strange_text

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = [
    *SPECIAL,
    *string.ascii_lowercase,
    *string.digits,
    *string.punctuation,
    *(f"##{c}" for c in string.ascii_lowercase + string.digits),
    *("red", "circle", "##ing", "photo", "mountain", "un", "##believ", "##able", "cafe", "日", "本", "…", "’"),
]
# Scripts to which Unicode has added marks of late; the reference knows an older one.
YOUNG = {chr(code) for block in ((0x0500, 0x1E00), (0x2E00, 0x3000)) for code in range(*block)}


def test_thousands_of_texts_have_the_ids_of_an_independent_tokenizer(tmp_path: Path) -> None:
    from tokenizers import BertWordPieceTokenizer

    file = tmp_path / "vocab.txt"
    file.write_text("\n".join(VOCABULARY))
    theirs: Any = BertWordPieceTokenizer(str(file), lowercase=True)
    ours = WordPieces(VOCABULARY)
    choose = random.Random(6)
    texts = [strange_text(choose) for _ in range(8000)]
    texts = [text for text in texts if not YOUNG & set(text)]
    assert len(texts) > 2500 and len(set(LETTERS) - YOUNG) > 2000
    texts += ["Unbelievable CAFÉ circles; 日本!", "a" * 101, "x" * 100, "tab\tand\nline", "[CLS]"]
    different = [text for text in texts if ours.encode(text) != theirs.encode(text, add_special_tokens=False).ids]
    assert set(different) <= {"[CLS]"}, different[:3]


def test_the_longest_pieces_win() -> None:
    words = WordPieces(VOCABULARY)
    expected = ["un", "##believ", "##able", "circle", "##s"]
    assert words.encode("unbelievable Circles") == [VOCABULARY.index(piece) for piece in expected]


def test_start_and_end_are_the_special_pieces() -> None:
    words = WordPieces(VOCABULARY)
    assert (words.start, words.end) == (2, 3)
    assert words.encode("") == []


def test_a_vocabulary_without_them_is_named() -> None:
    with pytest.raises(UnusableFile, match=r"'mine.txt' has no \[CLS\], \[SEP\]"):
        WordPieces(["[PAD]", "[UNK]", "a"], "mine.txt")

"""Unigram pieces as SentencePiece itself finds them, from its files and from tokenizer.json."""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from app.diffusion.conditioning.unigram import (
    CharacterMap,
    UnigramWords,
    words_of_sentencepiece,
    words_of_tokenizer_json,
)
from app.errors import UnusableFile
from tests.diffusion.conditioning.strange import strange_text

WORDS = [
    *("red", "green", "circle", "circles", "square", "star", "mountain", "photo", "painting", "of", "the", "a", "with"),
    *("ﬁne", "café", "Straße", "½", "①", "日本", "привет"),
]


def sentences() -> Iterator[str]:
    choose = random.Random(3)
    for _ in range(2000):
        yield " ".join(choose.choice(WORDS) for _ in range(choose.randint(2, 9)))


@pytest.fixture(scope="module")
def model() -> bytes:
    """A small model that SentencePiece has learnt, with T5's special pieces and its table of characters."""
    import sentencepiece

    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=sentences(),
        model_writer=file,
        vocab_size=120,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
        num_threads=1,
    )
    return file.getvalue()


@pytest.fixture(scope="module")
def words(model: bytes) -> UnigramWords:
    return words_of_sentencepiece(model, "spiece.model")


def test_thousands_of_texts_have_the_ids_of_sentencepiece(model: bytes, words: UnigramWords) -> None:
    import sentencepiece

    theirs: Any = sentencepiece.SentencePieceProcessor(model_proto=model)
    choose = random.Random(4)
    texts = [strange_text(choose) for _ in range(2000)]
    texts += ["".join(choose.choice(WORDS)[: choose.randint(1, 9)] + " " for _ in range(8)) for _ in range(2000)]
    different = [text for text in texts if words.encode(text) != theirs.encode(text)]
    assert not different, different[:3]


def test_special_pieces_are_known_and_are_never_text(words: UnigramWords) -> None:
    assert (words.start, words.end, words.unknown) == (None, 1, 2)
    assert words.end not in words.encode("a </s> b")


def test_characters_are_made_one_form(words: UnigramWords) -> None:
    assert words.encode("ﬁne\tcafe\u0301") == words.encode("fine café") != words.encode("finé cafe")


def test_the_most_probable_cut_wins_not_the_longest_piece() -> None:
    pieces = [None, None, None, ("▁ab", -9.0), ("c", -9.0), ("▁a", -2.0), ("bc", -2.0)]
    words = UnigramWords(pieces, unknown=2, end=1)
    assert words.encode("abc") == [5, 6]
    assert words.encode("abc  abc ") == [5, 6, 5, 6]


def test_neighbouring_unknown_characters_are_one() -> None:
    words = UnigramWords([None, None, None, ("▁", -1.0), ("a", -1.0)], unknown=2, end=1)
    assert words.encode("xyaz") == [3, 2, 4, 2]
    assert words.encode("") == []


def as_json(words: UnigramWords, model: bytes, *, nested: bool) -> str:
    """The same tokenizer, written as the tokenizers library writes it."""
    special = {0: "<pad>", 1: "</s>", 2: "<unk>"}
    vocabulary = [piece or (special[index], 0.0) for index, piece in enumerate(words.pieces)]
    start = model.index(b"nmt_nfkc") + len("nmt_nfkc")
    key, place = model[start], start + 1
    assert key == 0x12  # the second field of the normaliser, of any length
    length = shift = 0
    while True:
        byte = model[place]
        length |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            break
    charsmap = base64.b64encode(model[place : place + length]).decode()
    normalizer: dict[str, Any] = {"type": "Precompiled", "precompiled_charsmap": charsmap}
    return json.dumps(
        {
            "added_tokens": [{"content": token, "special": True} for token in special.values()],
            "normalizer": {"type": "Sequence", "normalizers": [normalizer]} if nested else normalizer,
            "model": {"type": "Unigram", "unk_id": 2, "vocab": vocabulary},
        }
    )


@pytest.mark.parametrize("nested", [False, True])
def test_a_tokenizer_json_is_the_same_tokenizer(model: bytes, words: UnigramWords, nested: bool) -> None:
    other = words_of_tokenizer_json(as_json(words, model, nested=nested), "tokenizer.json")
    choose = random.Random(5)
    texts = [strange_text(choose) for _ in range(200)]
    assert [other.encode(text) for text in texts] == [words.encode(text) for text in texts]
    assert (other.end, other.unknown) == (words.end, words.unknown)


@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"nothing of the kind", b"\xff" * 40, b"\x0a\x05ab", b"\x1a\x04\x12\x02\x01\x02"]
)
def test_a_foreign_file_is_named(content: bytes) -> None:
    with pytest.raises(UnusableFile, match=r"'mine\.model' cannot be used") as told:
        words_of_sentencepiece(content, "mine.model")
    assert "spiece.model" in told.value.remedy


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"model": {"vocab": {"a": 1}, "unk_id": 0}}', '{"model": 3}', "[" * 9999]
)
def test_a_foreign_json_is_named(text: str) -> None:
    with pytest.raises(UnusableFile, match=r"'tokenizer.json' cannot be used"):
        words_of_tokenizer_json(text, "tokenizer.json")


def test_a_cut_model_is_named(model: bytes) -> None:
    for length in (100, 5000, len(model) // 2):
        with pytest.raises(UnusableFile):
            words_of_sentencepiece(model[:length], "spiece.model")


def test_an_empty_table_of_characters_changes_nothing() -> None:
    assert CharacterMap(b"\0\0\0\0")("aé日👩") == "aé日👩"

"""Vocabularies from users' files: where they are found, and what is said when they are not."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch

from app.errors import Missing, UnusableFile
from app.weights.stored import held
from app.weights.vocabularies import LARGEST, find_words, read_words, words_or_missing

BERT = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nred\ncircle\n"


def sentencepiece(*words: str) -> bytes:
    """A model of SentencePiece with the special pieces and a few words, written by hand."""
    model = b""
    for text, score, kind in [
        ("<pad>", 0, 3),
        ("</s>", 0, 3),
        ("<unk>", 0, 2),
        *((f"▁{word}", -1, 1) for word in words),
    ]:
        piece = text.encode()
        message = b"\x0a" + bytes([len(piece)]) + piece + b"\x15" + struct.pack("<f", score) + b"\x18" + bytes([kind])
        model += b"\x0a" + bytes([len(message)]) + message
    return model


def unigram_json(*words: str) -> str:
    vocabulary = [["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], *([f"▁{word}", -1.0] for word in words)]
    return json.dumps({"model": {"type": "Unigram", "unk_id": 2, "vocab": vocabulary}})


def test_t5s_vocabulary_is_found_beside_and_below(tmp_path: Path) -> None:
    (tmp_path / "t5").mkdir()
    (tmp_path / "t5" / "spiece.model").write_bytes(sentencepiece("below"))
    assert find_words("t5", [tmp_path / "absent", tmp_path]).encode("below") == [3]
    (tmp_path / "t5xxl.spiece.model").write_bytes(sentencepiece("first", "beside"))
    assert find_words("t5", [tmp_path]).encode("beside") == [4]


def test_a_tokenizer_json_serves_as_well(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(unigram_json("red", "circle"))
    assert find_words("t5", [tmp_path]).encode("red circle") == [3, 4]


def test_files_of_other_models_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "tokenizer.json").write_text(json.dumps({"model": {"type": "BPE", "vocab": {"a": 0}}}))
    (tmp_path / "t5").mkdir()
    (tmp_path / "t5" / "tokenizer.json").write_text(unigram_json("red"))
    assert find_words("t5", [tmp_path]).encode("red") == [3]


def test_a_vocabulary_within_the_tower_comes_first(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(sentencepiece("outside"))
    inside = torch.frombuffer(bytearray(sentencepiece("a", "b", "inside")), dtype=torch.uint8)
    assert find_words("t5", [tmp_path], held({"spiece_model": inside})).encode("inside") == [5]


def test_berts_vocabulary_has_a_piece_a_line(tmp_path: Path) -> None:
    (tmp_path / "bert-base-uncased.vocab.txt").write_text(BERT)
    words = find_words("bert", [tmp_path])
    assert (words.start, words.encode("Red circle"), words.end) == (2, [4, 5], 3)


@pytest.mark.parametrize(("kind", "file"), [("t5", r"spiece\.model"), ("bert", r"vocab\.txt")])
def test_what_is_missing_and_where_to_put_it_is_told(tmp_path: Path, kind: str, file: str) -> None:
    with pytest.raises(Missing, match=file) as told:
        find_words(kind, [tmp_path])
    assert "models/text_encoders" in told.value.remedy


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(b"nothing of the kind")
    with pytest.raises(UnusableFile, match=r"spiece\.model"):
        find_words("t5", [tmp_path])
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UnusableFile, match="is no text"):
        find_words("bert", [tmp_path])


def test_a_file_of_any_size_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "spiece.model"
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(UnusableFile, match="too large"):
        read_words(path)


def test_without_a_vocabulary_the_rest_can_be_used(tmp_path: Path) -> None:
    words = words_or_missing("t5", [tmp_path])
    for use in (lambda: words.start, lambda: words.end, lambda: words.encode("red")):
        with pytest.raises(Missing, match="T5 needs its vocabulary"):
            use()
    (tmp_path / "spiece.model").write_bytes(sentencepiece("red"))
    assert words_or_missing("t5", [tmp_path]).encode("red") == [3]

"""Byte-pair encoding: merges in order, any text, and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.diffusion.conditioning.tokenizer import Tokenizer, byte_symbols, learn_merges, merge_pair

WORDS = ["red", "green", "circle", "circles", "background"]


def test_each_learnt_word_is_one_token() -> None:
    tokenizer = Tokenizer(learn_merges(WORDS))
    ids = [tokenizer.encode(word) for word in WORDS]
    assert all(len(found) == 1 for found in ids)
    assert len({found[0] for found in ids}) == len(WORDS)


def test_the_alphabet_has_every_byte_once() -> None:
    symbols = byte_symbols()
    assert sorted(symbols) == list(range(256))
    assert len(set(symbols.values())) == 256
    assert list(symbols)[:3] == [33, 34, 35]


def test_merges_apply_by_rank_not_by_place() -> None:
    tokenizer = Tokenizer([("b", "c</w>"), ("a", "b")])
    assert tokenizer.decode(tokenizer.encode("abc")) == "abc"
    assert len(tokenizer.encode("abc")) == 2  # a, bc: the first merge takes the b away from the second


def test_pairs_merge_from_left_to_right() -> None:
    assert merge_pair(["a", "a", "a"], ("a", "a")) == ["aa", "a"]


def test_case_and_blanks_do_not_matter() -> None:
    tokenizer = Tokenizer(learn_merges(WORDS))
    assert tokenizer.encode("  RED\n\tCircle ") == tokenizer.encode("red circle")


def test_words_split_as_clip_splits_them() -> None:
    tokenizer = Tokenizer(learn_merges(["it", "'s", "!!"]))
    assert len(tokenizer.encode("it's!!")) == 3
    assert len(tokenizer.encode("27")) == 2


def test_entities_are_unescaped() -> None:
    tokenizer = Tokenizer([])
    assert tokenizer.encode("a &amp; b") == tokenizer.encode("a & b")


def test_special_words_are_the_special_ids() -> None:
    tokenizer = Tokenizer(learn_merges(WORDS))
    assert tokenizer.encode("<|startoftext|>red<|endoftext|>")[0] == tokenizer.start
    assert tokenizer.encode("red<|endoftext|>")[-1] == tokenizer.end == len(tokenizer) - 1


@given(st.text())
def test_any_text_encodes(text: str) -> None:
    tokenizer = Tokenizer(learn_merges(WORDS))
    assert all(0 <= token < len(tokenizer) for token in tokenizer.encode(text))


@given(st.lists(st.text("abcdefghijklmnopqrstuvwxyzäöüßé", min_size=1, max_size=8), min_size=1, max_size=5))
def test_words_come_back(words: list[str]) -> None:
    tokenizer = Tokenizer(learn_merges(WORDS))
    assert tokenizer.decode(tokenizer.encode(" ".join(words))).split() == " ".join(words).lower().split()

"""Byte-pair encoding: merges in order, any text, and back."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.diffusion.conditioning.tokenizer import Tokenizer, byte_symbols, clip_tokenizer, learn_merges, merge_pair
from tests.diffusion.conditioning.strange import strange_text

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


def test_text_is_taken_as_it_stands() -> None:
    tokenizer = Tokenizer([])
    assert tokenizer.encode("&amp;") != tokenizer.encode("&")
    assert tokenizer.encode("ΣΑΣ") == tokenizer.encode("σασ") != tokenizer.encode("σας")
    assert tokenizer.encode("e\u0301") == tokenizer.encode("é")


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


def test_ten_thousand_texts_have_the_ids_of_an_independent_tokenizer() -> None:
    from transformers import CLIPTokenizer

    ours = clip_tokenizer()
    symbols = list(byte_symbols().values())
    entries = [*symbols, *(s + "</w>" for s in symbols), *("".join(pair) for pair in ours.merges)]
    entries += ["<|startoftext|>", "<|endoftext|>"]
    merges: Any = list(ours.merges)
    theirs: Any = CLIPTokenizer(vocab={entry: index for index, entry in enumerate(entries)}, merges=merges)
    choose = random.Random(11)
    texts = [strange_text(choose) for _ in range(10_000)]
    expected = theirs(texts, add_special_tokens=False)["input_ids"]
    different = [text for text, ids in zip(texts, expected, strict=True) if ours.encode(text) != ids]
    assert not different, different[:3]


def test_known_ids() -> None:
    tokenizer = clip_tokenizer()
    assert (len(tokenizer), tokenizer.start, tokenizer.end) == (49408, 49406, 49407)
    assert tokenizer.encode("a photo of a cat") == [320, 1125, 539, 320, 2368]


def test_a_word_without_end_takes_no_time_without_end() -> None:
    choose = random.Random(1)
    word = "".join(choose.choice("abcdefghij") for _ in range(100_000))
    tokenizer = clip_tokenizer()
    assert tokenizer.decode(tokenizer.encode(word)) == word

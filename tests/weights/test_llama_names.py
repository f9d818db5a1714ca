"""T5's encoder as llama.cpp names it: the names of the gguf library, and a vocabulary that says the same."""

from __future__ import annotations

import struct
from typing import Any

import gguf
import pytest
import torch

from app.diffusion.conditioning.unigram import words_of_sentencepiece
from app.diffusion.models.t5 import T5Config, T5Encoder
from app.weights.llama_names import sentencepiece_of, t5_names
from app.weights.stored import held
from tests.weights.test_vocabularies import sentencepiece

LIBRARY: Any = gguf


def llama_state(config: T5Config) -> dict[str, torch.Tensor]:
    """An encoder's tensors under the names that the gguf library gives them."""
    names = LIBRARY.get_tensor_name_map(LIBRARY.MODEL_ARCH.T5ENCODER, config.layers)
    torch.manual_seed(1)
    state = T5Encoder(config).state_dict()
    return {f"{names.get_name(name.removesuffix('.weight'))}.weight": value for name, value in state.items()}


@pytest.mark.parametrize("gated", [True, False])
def test_names_are_the_library_s(gated: bool) -> None:
    config = T5Config(30, 16, 24, 2, 4, 8, gated=gated)
    torch.manual_seed(1)
    published = T5Encoder(config).state_dict()
    named = t5_names(held(llama_state(config)))
    assert set(named) == set(published)
    assert all(torch.equal(named[name].read(), value) for name, value in published.items())


def test_other_tables_stay() -> None:
    table = held({"token_embd.weight": torch.zeros(1), "enc.blk.0.other.weight": torch.ones(1)})
    assert t5_names(table) == table
    mark = held({"enc.blk.0.attn_q.weight": torch.zeros(1)})
    assert set(t5_names(table | mark)) == {
        "shared.weight",
        "enc.blk.0.other.weight",
        "encoder.block.0.layer.0.SelfAttention.q.weight",
    }


def test_a_vocabulary_in_parts_is_the_model_that_it_was_taken_from() -> None:
    words = [f"▁word{index}" for index in range(200)]
    long = "▁" + "a" * 100
    pieces = ["<pad>", "</s>", "<unk>", *words, long]
    kinds = [3, 3, 2] + [1] * 201
    model = sentencepiece_of(pieces, [0.0] * 3 + [-1.0] * 201, kinds)
    assert model.startswith(sentencepiece(*(word[1:] for word in words)))
    known = words_of_sentencepiece(model, "x")
    assert known.encode(f"word7 {'a' * 100} word199") == [10, 203, 202]
    assert (known.unknown, known.end, known.characters) == (2, 1, None)


def test_characters_are_taken_along() -> None:
    compiled = struct.pack("<I", 4) + struct.pack("<I", 0) + b"x\0"
    known = words_of_sentencepiece(sentencepiece_of(["</s>", "<unk>"], [0.0, 0.0], [3, 2], compiled), "x")
    assert known.characters is not None and known.characters("ab") == "ab"


def test_parts_that_do_not_fit_together() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        sentencepiece_of(["a", "b"], [0.0], [1, 1])

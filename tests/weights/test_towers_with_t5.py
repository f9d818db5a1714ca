"""Text encoders within checkpoints that need a vocabulary of the user's: SD 3, Flux, latent diffusion."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from app.diffusion.models.bert import Bert, BertConfig
from app.errors import Missing
from app.weights.stored import Stored, held
from app.weights.towers import BERT_PREFIX, T5_PREFIX, text_encoder_in
from tests.weights.paper import listed
from tests.weights.test_text_files import t5_state
from tests.weights.test_vocabularies import BERT, sentencepiece

CLIP_L = "text_encoders.clip_l.transformer."
CLIP_G = "text_encoders.clip_g.transformer."


def t5() -> dict[str, Stored]:
    return held({T5_PREFIX + name: value for name, value in t5_state().items()})


def clips() -> dict[str, Stored]:
    return listed("clip_l_text_hf", CLIP_L) | listed("openclip_bigG_text", CLIP_G)


def bert(words: int) -> dict[str, Stored]:
    state = Bert(BertConfig(words, 16, 1)).state_dict()
    return held({BERT_PREFIX + name: value for name, value in state.items()})


def test_sd3_has_the_towers_that_the_file_has(tmp_path: Path) -> None:
    for rest, towers in ((clips() | t5(), {"l", "g", "t5xxl"}), (clips(), {"l", "g"}), (t5(), {"t5xxl"})):
        encoder = text_encoder_in("sd3", rest, "sd3.safetensors", torch.float16, [tmp_path])
        assert encoder is not None
        assert set(encoder.towers) == towers
    assert text_encoder_in("sd3", {}, "sd3.safetensors", torch.float16) is None


def test_t5_without_a_vocabulary_says_so_when_it_is_used(tmp_path: Path) -> None:
    encoder = text_encoder_in("sd3", t5(), "sd3.safetensors", torch.float32, [tmp_path])
    assert encoder is not None
    with pytest.raises(Missing, match="T5 needs its vocabulary"):
        encoder.encode("red")
    (tmp_path / "spiece.model").write_bytes(sentencepiece("red"))
    encoder = text_encoder_in("sd3", t5(), "sd3.safetensors", torch.float32, [tmp_path])
    assert encoder is not None
    assert encoder.encode("red").context.shape == (1, 77, 16)


def test_flux_needs_both_of_its_towers(tmp_path: Path) -> None:
    both = listed("clip_l_text_hf", CLIP_L) | t5()
    encoder = text_encoder_in("flux", both, "flux.safetensors", torch.float16, [tmp_path])
    assert encoder is not None
    assert set(encoder.towers) == {"l", "t5xxl"}
    assert text_encoder_in("flux", t5(), "flux.safetensors", torch.float16) is None


def test_latent_diffusion_reads_text_with_bert(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text(BERT)
    encoder = text_encoder_in("bert", bert(31_000), "ldm.ckpt", torch.float32, [tmp_path])
    assert encoder is not None
    assert encoder.encode("red circle").context.shape == (1, 77, 16)


def test_a_transformer_of_places_and_classes_encodes_no_prompts() -> None:
    assert text_encoder_in("bert", bert(8192), "layout.ckpt", torch.float32) is None
    assert text_encoder_in("bert", {}, "layout.ckpt", torch.float32) is None

"""Text encoders from files, as nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from app.diffusion.models.clip_text import ClipText, ClipTextConfig
from app.errors import InvalidRequest, Missing, UnknownFamily
from app.settings import Settings
from tests.weights.test_text_files import t5_state
from tests.weights.test_vocabularies import sentencepiece


@pytest.fixture
def towers(installation: Settings) -> Path:
    """The folder of text encoders, with a small T5."""
    folder = installation.directories.base / "models" / "text_encoders"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(t5_state(), folder / "t5.safetensors")
    return folder


def test_t5_is_loaded_once_with_the_vocabulary_beside_it(bench: Any, towers: Path) -> None:
    (towers / "spiece.model").write_bytes(sentencepiece("red", "circle"))
    clip = bench("CLIPLoader", clip_name="t5.safetensors", type="sd3")
    features = bench("CLIPTextEncode", clip=clip, text="red circle")[0][0]
    assert features.shape == (1, 77, 16)
    again = bench("CLIPLoader", clip_name="t5.safetensors", type="sd3")
    assert again.towers["t5xxl"] is clip.towers["t5xxl"]


def test_without_a_vocabulary_the_way_out_is_told(bench: Any, towers: Path) -> None:
    with pytest.raises(Missing, match="T5 needs its vocabulary") as told:
        bench("CLIPLoader", clip_name="t5.safetensors", type="sd3")
    assert told.value.input_name == "clip_name"
    assert "models/text_encoders" in told.value.remedy


def test_towers_that_do_not_make_an_encoder_are_told(bench: Any, towers: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"of type flux: 't5\.safetensors' holds T5, 't5\.safetensors'"):
        bench("DualCLIPLoader", clip_name1="t5.safetensors", clip_name2="t5.safetensors", type="flux")
    with pytest.raises(InvalidRequest, match="of type sd3"):
        bench("TripleCLIPLoader", **dict.fromkeys(("clip_name1", "clip_name2", "clip_name3"), "t5.safetensors"))
    with pytest.raises(Missing) as told:
        bench("DualCLIPLoader", clip_name1="t5.safetensors", clip_name2="absent.safetensors", type="flux")
    assert told.value.input_name == "clip_name2"


def test_a_file_without_a_text_tower_is_named(bench: Any, towers: Path) -> None:
    save_file({"decoder.conv_in.weight": torch.zeros(1)}, towers / "vae.safetensors")
    with pytest.raises(UnknownFamily, match="a VAE"):
        bench("CLIPLoader", clip_name="vae.safetensors", type="stable_diffusion")


def test_a_tower_of_another_size_is_named(bench: Any, towers: Path) -> None:
    small = ClipText(ClipTextConfig(30, 16, 1, 2, 8)).state_dict()
    save_file(small, towers / "small.safetensors")
    with pytest.raises(Exception, match=r"'small\.safetensors'") as told:
        bench("CLIPLoader", clip_name="small.safetensors", type="stable_diffusion")
    assert getattr(told.value, "remedy", "")


def test_the_padding_of_t5_can_be_set(bench: Any, towers: Path) -> None:
    (towers / "spiece.model").write_bytes(sentencepiece("red"))
    clip = bench("CLIPLoader", clip_name="t5.safetensors", type="sd3")
    longer = bench("T5TokenizerOptions", clip=clip, min_length=100, min_padding=0)
    assert bench("CLIPTextEncode", clip=longer, text="red")[0][0].shape[1] == 100
    bare = bench("T5TokenizerOptions", clip=clip, min_length=0, min_padding=3)
    assert bench("CLIPTextEncode", clip=bare, text="red")[0][0].shape[1] == 2 + 3
    assert bench("CLIPTextEncode", clip=clip, text="red")[0][0].shape[1] == 77


def test_an_embedding_is_read_from_its_folder(bench: Any, installation: Settings) -> None:
    clip = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[1]
    width = clip.towers["l"].config.width
    folder = installation.directories.base / "models" / "embeddings"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"emb_params": torch.randn(1, width)}, folder / "mine.safetensors")
    save_file({"emb_params": torch.randn(1, width + 1)}, folder / "wide.safetensors")
    plain = bench("CLIPTextEncode", clip=clip, text="red")[0][0]
    learnt = bench("CLIPTextEncode", clip=clip, text="red embedding:mine")[0][0]
    assert not torch.equal(plain, learnt)
    assert torch.equal(bench("CLIPTextEncode", clip=clip, text="red embedding:absent")[0][0], plain)
    with pytest.raises(InvalidRequest, match=f"'wide' has vectors of width {width + 1}"):
        bench("CLIPTextEncode", clip=clip, text="embedding:wide")

"""A model in one file: what is saved comes back, and what cannot be used says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from app.diffusion.conditioning.text_encoder import TextEncoder
from app.diffusion.conditioning.tokenizer import Tokenizer, learn_merges
from app.diffusion.families import Family, SamplingConfig, family_from_json, family_to_json
from app.diffusion.latent_format import LatentFormat
from app.diffusion.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL
from app.diffusion.models.clip_text import ClipText, ClipTextConfig
from app.diffusion.models.unet import UNet, UNetConfig
from app.diffusion.working import make_ready
from app.errors import UnknownFamily, UnusableFile
from app.weights.checkpoint import FAMILY_KEY, MERGES_KEY, load_checkpoint, save_checkpoint

TOKENIZER = Tokenizer(learn_merges(["red", "circle"]))
TOWER = ClipTextConfig(len(TOKENIZER), 16, 1, 2, 8)
NETWORK = UNetConfig(4, 4, 32, (1, 2), 1, (1, 1), heads=4, context_width=16, position_waves=2)
FAMILY = Family(
    "tiny",
    NETWORK,
    AutoencoderConfig(4, 8, (1, 1, 2, 2), 1, groups=4),
    TOWER,
    LatentFormat(4, 8, 0.7),
    SamplingConfig("flow"),
)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(
        path,
        FAMILY,
        unet=UNet(NETWORK),
        vae=AutoencoderKL(FAMILY.first_stage),
        text=ClipText(TOWER),
        tokenizer=TOKENIZER,
        provenance={"made": "by a test"},
    )
    return path


def rewrite(path: Path, change: Callable[[dict[str, torch.Tensor], dict[str, str]], None]) -> Path:
    """Change a checkpoint's tensors and metadata in place."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no iterator there)
        metadata = dict(file.metadata())
    change(tensors, metadata)
    save_file(tensors, path, metadata)
    return path


def test_it_comes_back(saved: Path) -> None:
    checkpoint = load_checkpoint(saved)
    assert checkpoint.family == FAMILY
    assert isinstance(checkpoint.clip, TextEncoder)
    assert isinstance(checkpoint.clip.tokenizer, Tokenizer)
    assert checkpoint.clip.tokenizer.merges == TOKENIZER.merges
    with safe_open(saved, framework="pt") as file:
        kept = file.get_tensor("model.diffusion_model.input_blocks.0.0.weight")
    make_ready(checkpoint.model.network)
    weight = checkpoint.model.network.get_parameter("input_blocks.0.0.weight")
    assert weight.dtype == torch.float32
    assert kept.dtype == torch.float16
    assert torch.equal(weight, kept.float())
    assert not weight.requires_grad


def test_names_are_stable_diffusions(saved: Path) -> None:
    with safe_open(saved, framework="pt") as file:
        names = set(file.keys())
    assert "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight" in names
    assert "first_stage_model.decoder.up.0.block.0.conv1.weight" in names
    assert "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight" in names


def test_a_family_survives_json() -> None:
    assert family_from_json(json.loads(json.dumps(family_to_json(FAMILY)))) == FAMILY
    other = replace(FAMILY, unet=replace(NETWORK, head_width=8, heads=None))
    assert family_from_json(family_to_json(other)) == other


def test_a_foreign_checkpoint_says_what_was_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    save_file({"lora_unet_down.weight": torch.zeros(2)}, path)
    with pytest.raises(UnknownFamily) as caught:
        load_checkpoint(path)
    assert "model.diffusion_model" in caught.value.message
    assert "lora_unet_down.weight" in caught.value.message


def test_a_missing_tensor_is_named(saved: Path) -> None:
    name = "model.diffusion_model.out.2.bias"
    with pytest.raises(UnusableFile, match=name):
        load_checkpoint(rewrite(saved, lambda tensors, _: tensors.__delitem__(name)))


def test_a_wrong_shape_is_named(saved: Path) -> None:
    name = "model.diffusion_model.out.2.bias"
    with pytest.raises(UnusableFile, match=r"\[9\] where \[4\]"):
        load_checkpoint(rewrite(saved, lambda tensors, _: tensors.update({name: torch.zeros(9)})))


@pytest.mark.parametrize(
    "text", ["", "7", "{}", '{"name": "x"}', "[" * 5000, json.dumps({"name": "x", "unet": {"a": 1}})]
)
def test_a_foreign_configuration(saved: Path, text: str) -> None:
    with pytest.raises(UnusableFile, match="cannot be built"):
        load_checkpoint(rewrite(saved, lambda _, metadata: metadata.update({FAMILY_KEY: text})))


@pytest.mark.parametrize("text", ["", "7", "[[1]]", "[" * 5000])
def test_a_foreign_merge_table(saved: Path, text: str) -> None:
    with pytest.raises(UnusableFile, match="merge table"):
        load_checkpoint(rewrite(saved, lambda _, metadata: metadata.update({MERGES_KEY: text})))


def test_a_truncated_file(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(UnusableFile, match="cut short"):
        load_checkpoint(saved)


def test_writing_leaves_no_partial_file(saved: Path) -> None:
    assert [path.name for path in saved.parent.iterdir()] == ["tiny.safetensors"]

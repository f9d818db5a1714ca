"""What is saved loads again as the same model, under names that other programs know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from app.diffusion.conditioning.encoders import CLIP_H, sd2_encoder
from app.diffusion.first_stage import FirstStage
from app.diffusion.model import DiffusionModel
from app.diffusion.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL
from app.diffusion.models.clip_text import ClipText
from app.errors import InvalidRequest, UnknownFamily
from app.weights.checkpoint import FAMILY_KEY, Checkpoint, load_checkpoint
from app.weights.identify import PREDICTION_KEY
from app.weights.saving import save_first_stage, save_model, save_parts, text_tensors
from app.weights.separate import load_first_stage, load_network
from tests.tiny import save_tiny_checkpoint


@pytest.fixture
def tiny(tmp_path: Path) -> Checkpoint:
    save_tiny_checkpoint(tmp_path / "tiny.safetensors")
    return load_checkpoint(tmp_path / "tiny.safetensors")


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    """Whether two modules hold the same bytes under the same names."""
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_whole_checkpoint_comes_back(tmp_path: Path, tiny: Checkpoint) -> None:
    path = tmp_path / "sub" / "again.safetensors"
    save_parts(path, tiny.model, tiny.clip, tiny.vae, {"prompt": '{"1": {}}'})
    again = load_checkpoint(path)
    assert again.family == tiny.family
    assert again.metadata["prompt"] == '{"1": {}}'
    assert same(again.model.network, tiny.model.network)
    assert same(again.vae.model, tiny.vae.model)
    assert torch.equal(again.clip.encode("red circle").context, tiny.clip.encode("red circle").context)
    assert [each.name for each in path.parent.iterdir()] == ["again.safetensors"]


def test_a_network_alone(tmp_path: Path, tiny: Checkpoint) -> None:
    save_model(tmp_path / "net.safetensors", tiny.model, {})
    again = load_network(tmp_path / "net.safetensors")
    assert same(again.network, tiny.model.network)
    assert again.sampling.sigma_max == tiny.model.sampling.sigma_max
    with safe_open(tmp_path / "net.safetensors", framework="pt") as file:
        assert all(name.startswith("model.diffusion_model.") for name in file.keys())  # noqa: SIM118  (no iterator)
        assert FAMILY_KEY in file.metadata()


def test_a_first_stage_alone_and_below_every_prefix(tmp_path: Path, tiny: Checkpoint) -> None:
    config = AutoencoderConfig(channels=32, channel_mult=(1, 2), num_res_blocks=1)
    vae = FirstStage(AutoencoderKL(config))
    save_first_stage(tmp_path / "vae.safetensors", vae, {})
    again = load_first_stage(tmp_path / "vae.safetensors")
    assert again.model.config == config
    assert same(again.model, vae.model)
    for prefix in ("first_stage_model.", "vae."):
        torch.save({prefix + key: value for key, value in vae.model.state_dict().items()}, tmp_path / "vae.pt")
        assert same(load_first_stage(tmp_path / "vae.pt").model, vae.model)


def test_a_file_without_a_first_stage_is_told(tmp_path: Path) -> None:
    torch.save({"text_model.x": torch.ones(1)}, tmp_path / "text.pt")
    with pytest.raises(UnknownFamily, match="not a VAE that is known: it is a text encoder"):
        load_first_stage(tmp_path / "text.pt")


def test_the_prediction_is_told_in_words_of_others(tmp_path: Path, tiny: Checkpoint) -> None:
    source = replace(tiny.family, sampling=replace(tiny.family.sampling, prediction="v"))
    save_model(tmp_path / "v.safetensors", replace(tiny.model, source=source), {})
    with safe_open(tmp_path / "v.safetensors", framework="pt") as file:
        assert file.metadata()[PREDICTION_KEY] == "v"


def test_a_tower_in_open_clip_s_layout_has_its_names(tiny: Checkpoint) -> None:
    config = replace(CLIP_H, vocabulary=50, width=64, layers=2, heads=2, projection=64)
    encoder = sd2_encoder(ClipText(config))
    tensors = text_tensors(replace(tiny.family, text="sd2"), encoder)
    assert tensors["cond_stage_model.model.transformer.resblocks.1.attn.in_proj_weight"].shape == (192, 64)
    assert "cond_stage_model.model.text_projection" in tensors


def test_a_model_of_unknown_shape_is_refused(tmp_path: Path, tiny: Checkpoint) -> None:
    old = tiny.model
    bare = DiffusionModel(old.network, old.sampling, old.latent, old.preview, "patched")
    with pytest.raises(InvalidRequest, match="'patched' cannot be saved"):
        save_model(tmp_path / "x.safetensors", bare, {})
    assert not (tmp_path / "x.safetensors").exists()


def test_a_failed_write_leaves_nothing(tmp_path: Path, tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("app.weights.saving.save_tensors", full)
    with pytest.raises(OSError, match="no space"):
        save_model(tmp_path / "new.safetensors", tiny.model, {})
    assert not list(tmp_path.glob("new*"))

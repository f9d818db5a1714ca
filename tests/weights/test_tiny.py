"""Small first stages from their files, in the names of all who publish them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from app.diffusion.models.autoencoder_tiny import PixelSpace, TinyAutoencoder, TinyConfig
from app.errors import UnknownFamily, UnusableFile
from app.store.folders import TINY_VAES
from app.weights.checkpoint import checkpoint_of
from app.weights.separate import load_first_stage
from app.weights.stored import WeightsFile, held
from app.weights.tiny import TINY, load_tiny
from tests.weights.paper import network

LATENT = torch.full((1, 4, 2, 2), 0.3)


@pytest.fixture(scope="module")
def tiny() -> TinyAutoencoder:
    torch.manual_seed(1)
    made = TinyAutoencoder(TinyConfig()).eval().requires_grad_(False)
    made.vae_scale.data = torch.tensor(0.18215)
    return made


def in_diffusers_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    for key, value in state.items():
        place = re.fullmatch(r"taesd_(encoder|decoder)\.(\d+)\.(.+)", key)
        if place:
            named[f"{place[1]}.layers.{int(place[2]) - (place[1] == 'decoder')}.{place[3]}"] = value
    return named


def test_the_names_that_folders_know_are_those_that_are_loaded() -> None:
    assert set(TINY_VAES) == set(TINY)


@pytest.mark.parametrize("name", TINY)
def test_two_files_are_one_first_stage(tmp_path: Path, tiny: TinyAutoencoder, name: str) -> None:
    channels = TINY[name].channels
    made = tiny if channels == 4 else TinyAutoencoder(TinyConfig(channels)).eval().requires_grad_(False)
    for half, part in (("encoder", made.taesd_encoder), ("decoder", made.taesd_decoder)):
        save_file(part.state_dict(), tmp_path / f"{half}.safetensors")
    stage = load_tiny(name, tmp_path / "encoder.safetensors", tmp_path / "decoder.safetensors")
    assert stage.channels == channels and stage.factor == 8
    assert isinstance(stage.model, TinyAutoencoder)
    latent = torch.zeros(1, channels, 2, 2) + 0.3
    scaled = TINY[name].to_model(latent)
    expected = made.taesd_decoder(scaled).clamp(0, 1).movedim(1, -1)
    assert torch.allclose(stage.decode(latent), expected, atol=1e-5)


def test_one_file_for_both_says_its_scale(tmp_path: Path, tiny: TinyAutoencoder) -> None:
    save_file(tiny.state_dict(), tmp_path / "x.safetensors")
    assert torch.equal(load_first_stage(tmp_path / "x.safetensors").decode(LATENT), expected(tiny))


def test_diffusers_names_are_known(tmp_path: Path, tiny: TinyAutoencoder) -> None:
    save_file(in_diffusers_names(tiny.state_dict()), tmp_path / "x.safetensors")
    assert torch.allclose(load_first_stage(tmp_path / "x.safetensors").decode(LATENT), expected(tiny), atol=1e-6)


def expected(tiny: TinyAutoencoder) -> Tensor:
    return (tiny.decode(LATENT) / 2 + 0.5).clamp(0, 1).movedim(1, -1)


def test_a_file_may_ask_for_no_first_stage_at_all(tmp_path: Path) -> None:
    save_file({"pixel_space_vae": torch.ones(1)}, tmp_path / "x.safetensors")
    assert isinstance(load_first_stage(tmp_path / "x.safetensors").model, PixelSpace)


def test_files_that_are_something_else_are_named(tmp_path: Path, tiny: TinyAutoencoder) -> None:
    for half, part in (("encoder", tiny.taesd_encoder), ("decoder", tiny.taesd_decoder)):
        save_file(part.state_dict(), tmp_path / f"{half}.safetensors")
    save_file({"w": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UnknownFamily, match=r"'other\.safetensors' is not a small VAE's decoder"):
        load_tiny("taesd", tmp_path / "encoder.safetensors", tmp_path / "other.safetensors")
    with pytest.raises(UnusableFile, match=r"lacks the tensor 'taesd_encoder\.0\.weight'|has the shape"):
        load_tiny("taesd", tmp_path / "other.safetensors", tmp_path / "decoder.safetensors")


def test_a_whole_checkpoint_may_hold_a_small_one(tiny: TinyAutoencoder) -> None:
    stage = held({f"first_stage_model.{key}": value for key, value in tiny.state_dict().items()})
    built = checkpoint_of(WeightsFile("x", network("koala-700m") | stage, {}), torch.float32)
    assert torch.equal(built.vae.decode(LATENT), expected(tiny))

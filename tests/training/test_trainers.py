"""Both trainers, small and for real: losses fall, a run goes on from its file, and the recipe ends in a checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from app.diffusion.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL
from app.training.autoencoder import AutoencoderRecipe, TrainingStep, psnr, quieten, train_autoencoder
from app.training.scenes.latents import stocked
from app.training.scenes.pictures import Pictures
from app.training.scenes.recipe import UNET, ScenesRecipe, train_scenes
from app.training.text_to_image import TextToImageRecipe
from app.weights.checkpoint import PROVENANCE_KEY, load_checkpoint

TINY = AutoencoderConfig(latent_channels=8, channels=8, channel_mult=(1, 1, 2, 2), num_res_blocks=1, groups=4)


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_first_stage_learns_and_resumes(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = AutoencoderKL(TINY)
    pictures = Pictures(1, batch=2)
    image = pictures(1.0)
    before = psnr(model, image)
    file = tmp_path / "run.safetensors"
    steps = list(train_autoencoder(model, pictures, AutoencoderRecipe(minutes=0.12), file))
    assert psnr(model, image) > before
    assert 2 * len(steps) <= steps[-1].images <= 8 * len(steps)
    resumed = AutoencoderKL(TINY)
    more = list(train_autoencoder(resumed, pictures, AutoencoderRecipe(minutes=0.14), file))
    assert more[0].step == steps[-1].step + 1
    assert more[-1].seconds > steps[-1].seconds


def test_quiet_latents_start_without_noise() -> None:
    model = AutoencoderKL(TINY)
    quieten(model)
    posterior = model.encode(torch.rand(1, 3, 16, 16) * 2 - 1)
    torch.testing.assert_close(posterior.logvar, torch.full_like(posterior.logvar, -6.0))


def test_pictures_are_close_ups_first() -> None:
    pictures = Pictures(3, batch=2)
    assert pictures(0.0).shape == (8, 3, 32, 32)
    assert pictures(0.9).shape == (2, 3, 64, 64)


def test_the_stock_is_kept(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = AutoencoderKL(TINY).eval()
    file = tmp_path / "stock.safetensors"
    first = stocked(model, 0.5, 20, 3, file)
    written = file.stat().st_mtime_ns
    again = stocked(model, 0.5, 20, 3, file)
    assert file.stat().st_mtime_ns == written
    assert torch.equal(first.latents, again.latents)
    latents, captions = first(5)
    assert latents.shape == (5, 8, 8, 8)
    assert all(captions)


def test_the_recipe_ends_in_a_checkpoint_that_draws(tmp_path: Path) -> None:
    heard: list[str] = []

    def report(stage: str, step: TrainingStep | None, figures: dict[str, Any]) -> None:
        heard.append(stage)

    recipe = ScenesRecipe(
        first=AutoencoderRecipe(minutes=0.03),
        second=TextToImageRecipe(minutes=0.05, batch=8),
        autoencoder=TINY,
        unet=replace(UNET, model_channels=32, channel_mult=(1, 1), context_width=32),
        text_width=32,
        text_layers=1,
        stock=32,
        exam=10,
    )
    output = tmp_path / "model.safetensors"
    scores = train_scenes(recipe, tmp_path / "work", output, report)
    assert {"first stage", "stock", "second stage", "judge"} <= set(heard)
    checkpoint = load_checkpoint(output)
    assert checkpoint.family.name == "loom-scenes"
    assert json.loads(checkpoint.metadata[PROVENANCE_KEY])["scores"] == scores.as_dict()
    context = checkpoint.clip.encode("a red circle").context
    x = torch.randn(1, 8, 8, 8)
    assert checkpoint.model.denoiser()(x, torch.tensor(0.5), context=context).isfinite().all()
    assert checkpoint.vae.decode(x).shape == (1, 64, 64, 3)

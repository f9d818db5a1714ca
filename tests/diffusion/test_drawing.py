from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from app.diffusion.conditioning.entries import conditioning_of
from app.diffusion.drawing import RATIO, Drawing, Recipe, draw, empty_latent, fitted, guider
from app.diffusion.guidance.hooks import GuidanceHooks
from app.diffusion.latent_format import LatentFormat
from app.diffusion.model import DiffusionModel
from app.diffusion.noise import prepare_noise
from app.errors import InvalidRequest
from app.weights.checkpoint import Checkpoint, load_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tiny_file: Path) -> Checkpoint:
    return load_checkpoint(tiny_file)


def prepared(checkpoint: Checkpoint, recipe: Recipe, latent: dict[str, Any] | None = None) -> Drawing:
    positive, negative = (conditioning_of(checkpoint.clip.encode(text)) for text in ("red", ""))
    return draw(checkpoint.model, positive, negative, latent or empty_latent(32, 32), recipe)


def drawn(checkpoint: Checkpoint, recipe: Recipe, latent: dict[str, Any] | None = None) -> dict[str, Any]:
    drawing = prepared(checkpoint, recipe, latent)
    for _ in drawing:
        pass
    return drawing.result


def test_an_empty_latent_says_how_many_pixels_it_stands_for() -> None:
    latent = empty_latent(64, 40, 2, channels=16)
    assert latent["samples"].shape == (2, 16, 5, 8)
    assert latent[RATIO] == 8
    assert not latent["samples"].any()


@pytest.mark.parametrize(("factor", "channels", "shape"), [(8, 4, (4, 4, 8)), (4, 4, (4, 8, 16)), (16, 3, (3, 2, 4))])
def test_an_empty_latent_takes_the_models_form(
    checkpoint: Checkpoint, factor: int, channels: int, shape: tuple[int, ...]
) -> None:
    old = checkpoint.model
    latent_format = LatentFormat(channels, factor, 1.0, 0.0)
    model = DiffusionModel(old.network, old.sampling, latent_format, old.preview, old.family)
    assert fitted(empty_latent(64, 32), model).shape == (1, *shape)


def test_a_drawn_latent_is_no_empty_one(checkpoint: Checkpoint) -> None:
    result = drawn(checkpoint, Recipe(steps=2))
    assert RATIO not in result
    assert result["samples"].device.type == "cpu"


@pytest.mark.parametrize("latent", [{}, {"samples": None}, {"samples": torch.zeros(4, 4)}])
def test_what_is_no_latent_is_told(checkpoint: Checkpoint, latent: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="no latent"):
        fitted(latent, checkpoint.model)


@pytest.mark.parametrize(
    "recipe", [Recipe(sampler="magic"), Recipe(schedule="magic"), Recipe(seed=-1), Recipe(seed=2**64)]
)
def test_recipes_that_cannot_be_are_told(checkpoint: Checkpoint, recipe: Recipe) -> None:
    with pytest.raises(InvalidRequest):
        drawn(checkpoint, recipe)


def test_what_travels_beside_the_samples_is_kept(checkpoint: Checkpoint) -> None:
    latent = {"samples": torch.randn(1, 4, 4, 4), "batch_index": [2], "note": "mine"}
    result = drawn(checkpoint, Recipe(steps=1, denoise=0.5), latent)
    assert (result["note"], result["batch_index"]) == ("mine", [2])


def test_the_noise_is_the_seeds_whatever_the_recipe(checkpoint: Checkpoint) -> None:
    drawing = prepared(checkpoint, Recipe(seed=5))
    assert torch.equal(drawing.noise, prepare_noise(torch.zeros(1, 4, 4, 4), 5))
    silent = prepared(checkpoint, Recipe(seed=5, add_noise=False))
    assert not silent.noise.any()


def test_the_total_is_the_number_of_steps(checkpoint: Checkpoint) -> None:
    for recipe, total in (
        (Recipe(steps=7), 7),
        (Recipe(steps=7, denoise=0.0), 0),
        (Recipe(steps=7, start=2, end=5), 3),
    ):
        assert prepared(checkpoint, recipe).total == total


def test_nothing_is_computed_before_the_first_step(checkpoint: Checkpoint) -> None:
    drawing = prepared(checkpoint, Recipe(steps=10**6))
    assert next(iter(drawing)).index == 0


def told_by(
    checkpoint: Checkpoint, latent: dict[str, Any], recipe: Recipe
) -> tuple[list[dict[str, Any]], torch.Tensor]:
    """What the run tells the conditions of both sides, and what it draws on."""
    heard: list[dict[str, Any]] = []

    def inputs(features: Any, said: Any, like: torch.Tensor, *, negative: bool = False) -> dict[str, Any]:
        heard.append({**said, "negative": negative})
        return {"context": features}

    model = replace(checkpoint.model, inputs=inputs)
    entry = conditioning_of(checkpoint.clip.encode("red"))
    own = [[features, {**said, "seed": 1000}] for features, said in entry]
    for _ in draw(model, entry, own, latent, recipe):
        pass
    return heard, model.latent.to_model(latent["samples"])


def test_a_run_tells_conditions_its_seed_latent_and_mask(checkpoint: Checkpoint) -> None:
    samples = torch.rand(2, 4, 4, 4)
    latent = {"samples": samples, "noise_mask": torch.ones(1, 32, 32)}
    heard, start = told_by(checkpoint, latent, Recipe(steps=1, seed=5))
    assert [said["negative"] for said in heard] == [False, True]
    assert [said["seed"] for said in heard] == [5, 1000]  # what a condition says itself wins
    assert torch.equal(heard[0]["latent_image"], start)
    assert torch.equal(heard[0]["denoise_mask"], torch.ones(2, 1, 4, 4))
    heard, _ = told_by(checkpoint, {"samples": samples, "noise_per_image": True}, Recipe(steps=1, seed=5))
    assert heard[0]["seed"] == [5, 6]
    assert "denoise_mask" not in heard[0]


def test_guidance_that_a_pack_would_leave_out_is_refused() -> None:
    class OfAPack:
        guidance = GuidanceHooks(after=(lambda guided, found: guided,))

        def guided(self, positive: Any, negative: Any, cfg: float, like: torch.Tensor) -> Any:
            return lambda x, sigma: x

        def company(self) -> Any:
            return None

        def whole(self, positive: Any, negative: Any, cfg: float) -> Any:
            return None

    model: Any = OfAPack()
    with pytest.raises(InvalidRequest, match="guided by a node pack"):
        guider(model, []).denoiser(torch.zeros(1, 4, 2, 2), False)
    OfAPack.guidance = GuidanceHooks()
    assert guider(model, []).denoiser(torch.zeros(1, 4, 2, 2), False)(torch.ones(1), torch.ones(())) == 1


def test_an_empty_picture_in_a_batch_of_pictures_alone_starts_as_it_does_by_itself(checkpoint: Checkpoint) -> None:
    model = replace(checkpoint.model, latent=replace(checkpoint.model.latent, shift=0.5))
    changed = replace(checkpoint, model=model)
    samples = torch.cat([torch.ones(1, 4, 4, 4), torch.zeros(1, 4, 4, 4)])
    recipe = Recipe(steps=2, denoise=0.5, seed=5)
    together = drawn(changed, recipe, {"samples": samples, "noise_per_image": True})["samples"]
    by_itself = drawn(changed, replace(recipe, seed=6), {"samples": samples[1:], "noise_per_image": True})["samples"]
    assert torch.allclose(together[1:], by_itself, atol=1e-5)

"""Trains a first stage on images: reconstruction plus a light pull towards a standard normal (arXiv:2112.10752, G)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from app.diffusion.models.autoencoder_kl import AutoencoderKL
from app.training.average import MovingAverage
from app.training.pace import Pace, cosine_rate
from app.training.precision import mixed_precision
from app.training.state import RunState

Images = Callable[[float], Tensor]


@dataclass(frozen=True, slots=True)
class AutoencoderRecipe:
    """How a first stage is trained. `kl_weight` multiplies the summed KL of an image, against a per-pixel loss."""

    minutes: float = 25.0
    rate: float = 1.2e-3
    kl_weight: float = 1e-6
    square_weight: float = 2.0
    decay: float = 0.998
    seed: int = 1
    save_minutes: float = 3.0


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One step of a run: loss before the update, images seen and seconds spent so far, share of the budget used."""

    step: int
    loss: float
    images: int
    seconds: float
    fraction: float


@torch.no_grad()
def quieten(model: AutoencoderKL, logvar: float = -6.0) -> None:
    """Start a new model with almost noiseless latents; otherwise it learns only backgrounds for hundreds of steps."""
    channels = model.config.latent_channels
    if isinstance(model.quant_conv, nn.Conv2d) and model.quant_conv.bias is not None:
        model.quant_conv.weight[channels:] = 0.0
        model.quant_conv.bias[channels:] = logvar


def reconstruction_loss(output: Tensor, target: Tensor, square_weight: float) -> Tensor:
    """Mean absolute error plus `square_weight` times the mean squared error."""
    difference = output.float() - target
    return difference.abs().mean() + square_weight * difference.square().mean()


def train_autoencoder(
    model: AutoencoderKL, images: Images, recipe: AutoencoderRecipe, file: Path
) -> Iterator[TrainingStep]:
    """Train until the minutes are used; the run goes on from `file` if it exists, and is saved there.

    `images(fraction)` gives a batch in 0..1, (n, 3, H, W), for that point of the run. When the iterator ends, the model
    holds the averaged weights.
    """
    torch.manual_seed(recipe.seed)  # pyright: ignore[reportUnknownMemberType]
    if not file.exists():
        quieten(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    average = MovingAverage(model, recipe.decay)
    state = RunState(model, average, optimiser)
    counters = state.load(file) if file.exists() else {}
    step, seen = int(counters.get("step", 0)), int(counters.get("images", 0))
    pace = Pace(recipe.minutes * 60.0, counters.get("seconds", 0.0))
    saved = pace.seconds
    model.train()
    while not pace.over:
        target = images(pace.fraction) * 2.0 - 1.0
        loss = _update(model, optimiser, target, recipe, cosine_rate(pace.fraction, step, peak=recipe.rate))
        average.update(model)
        step, seen = step + 1, seen + len(target)
        yield TrainingStep(step, loss, seen, pace.seconds, pace.fraction)
        if pace.seconds - saved > recipe.save_minutes * 60.0 or pace.over:
            state.save(file, {"step": step, "images": seen, "seconds": pace.seconds})
            saved = pace.seconds
    average.copy_to(model)


def _update(
    model: AutoencoderKL, optimiser: torch.optim.AdamW, target: Tensor, recipe: AutoencoderRecipe, rate: float
) -> float:
    for group in optimiser.param_groups:
        group["lr"] = rate
    factor, channels = model.config.factor, model.config.latent_channels
    noise = torch.randn(len(target), channels, target.shape[2] // factor, target.shape[3] // factor)
    with mixed_precision():
        output, posterior = model(target, noise)
    loss = reconstruction_loss(output, target, recipe.square_weight)
    loss = loss + recipe.kl_weight * posterior.kl().float().mean()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # pyright: ignore[reportUnknownMemberType]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()  # pyright: ignore[reportUnknownMemberType]
    return float(loss.detach())


@torch.no_grad()
def psnr(model: AutoencoderKL, images: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of encoding and decoding images (B, 3, H, W) in 0..1 through the mean."""
    output, _ = model(images * 2.0 - 1.0)
    error = (output.float().clamp(-1, 1) / 2.0 + 0.5 - images).square().mean()
    return float(-10.0 * error.log10())


@torch.no_grad()
def latent_scale(model: AutoencoderKL, images: Tensor) -> float:
    """1 / standard deviation of the latents, the factor that gives the second stage unit variance."""
    return float(1.0 / model.encode(images * 2.0 - 1.0).mean.std())

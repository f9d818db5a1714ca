"""`comfy.sample`: from noise to latent in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from app.diffusion import noise as noises
from app.extend.facade.comfy import samplers


def prepare_noise(latent_image: Tensor, seed: int, noise_inds: Sequence[int] | None = None) -> Tensor:
    """The noise of a seed, shaped as the latent, drawn on the CPU."""
    return noises.prepare_noise(latent_image, seed, noise_inds)


def fix_empty_latent_channels(model: Any, latent_image: Tensor, *_: Any) -> Tensor:
    """An empty latent in the model's number of channels."""
    channels = model.get_model_object("latent_format").latent_channels
    if latent_image.shape[1] == channels or bool(latent_image.any()):
        return latent_image
    return latent_image.new_zeros(latent_image.shape[0], channels, *latent_image.shape[2:])


def sample(
    model: Any,
    noise: Tensor,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    positive: Any,
    negative: Any,
    latent_image: Tensor,
    denoise: float = 1.0,
    disable_noise: bool = False,
    start_step: int | None = None,
    last_step: int | None = None,
    force_full_denoise: bool = False,
    noise_mask: Tensor | None = None,
    sigmas: Tensor | None = None,
    callback: Any = None,
    disable_pbar: bool = False,
    seed: int | None = None,
) -> Tensor:
    """A latent from noise, by names of a sampler and a schedule; on the CPU."""
    sampler = samplers.KSampler(model, steps, model.load_device, sampler_name, scheduler, denoise, model.model_options)
    result = sampler.sample(
        noise,
        positive,
        negative,
        cfg,
        latent_image,
        start_step,
        last_step,
        force_full_denoise,
        noise_mask,
        sigmas,
        callback,
        disable_pbar,
        seed,
    )
    return result.to("cpu")


def sample_custom(
    model: Any,
    noise: Tensor,
    cfg: float,
    sampler: Any,
    sigmas: Tensor,
    positive: Any,
    negative: Any,
    latent_image: Tensor,
    noise_mask: Tensor | None = None,
    callback: Any = None,
    disable_pbar: bool = False,
    seed: int | None = None,
) -> Tensor:
    """A latent from noise, by a sampler and its levels; on the CPU."""
    result = samplers.sample(
        model,
        noise,
        positive,
        negative,
        cfg,
        torch.device(model.load_device),
        sampler,
        sigmas,
        model.model_options,
        latent_image=latent_image,
        denoise_mask=noise_mask,
        callback=callback,
        disable_pbar=disable_pbar,
        seed=seed,
    )
    return result.to("cpu")

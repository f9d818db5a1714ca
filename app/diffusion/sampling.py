"""From noise to latent: the start, the mask, the sampler and the end, for any model and sampler.

Letters: latent [B, C, h, w] float32 in the model's scale, noise likewise with unit variance, sigmas [n + 1] falling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from app.diffusion.denoiser import Denoiser, NoiseSource, SplitDenoiser, Step, both_answers
from app.diffusion.guidance.hooks import MaskAt
from app.diffusion.noise import (
    SEED_LIMIT,
    BrownianNoise,
    Seeds,
    noise_of_images,
    prepare_noise,
    seeds_of_images,
    step_noise,
)
from app.diffusion.parameterization import ModelSampling
from app.diffusion.samplers import SamplerSpec
from app.diffusion.schedules import sigmas as schedule_sigmas
from app.errors import InvalidRequest


def sample(
    denoise: Denoiser,
    noise: Tensor,
    latent: Tensor,
    sigmas: Tensor,
    sampler: SamplerSpec,
    sampling: ModelSampling,
    *,
    mask: Tensor | None = None,
    mask_at: MaskAt | None = None,
    seed: Seeds = 0,
    options: Mapping[str, Any] | None = None,
) -> Iterator[Step]:
    """Run a sampler; the last step's x is the result. A schedule of fewer than two levels yields nothing.

    Where mask [B or 1, 1, h, w] is 0, latent is kept; values between blend; `mask_at` says
    what the mask is at a level. `seed` is that of the steps' noise, one
    for the batch or one for each image. `options` go to the sampler and win over its defaults. Raises InvalidRequest
    for a CFG++ sampler on a denoiser without an unconditional half.
    """
    if len(sigmas) < 2:
        return
    if sampler.uses_cfg_pp and not isinstance(denoise, SplitDenoiser):
        raise InvalidRequest(
            f"The sampler {sampler.name} needs guidance with a negative prompt.", remedy="Choose another sampler."
        )
    sigmas = sigmas.to("cpu")
    at: Callable[[Tensor], Tensor] | None = None
    if mask is not None:
        kept_noise = noise
        if sampler.inpaint_noise_offset is not None:
            kept_noise = _noise_after(latent, seed, sampler.inpaint_noise_offset).to(latent.device)
        fitted = fit_mask(mask, latent)

        def at_level(sigma: Tensor) -> Tensor:
            return fitted if mask_at is None else mask_at(fitted, sigma, sigmas, sampling)

        at = at_level
        denoise = Masked(denoise, at, latent, kept_noise, sampling)
    x = sampling.noise_scaling(sigmas[0], noise, latent, sampling.is_max_denoise(sigmas[0]))
    step = None
    for step in sampler.function(denoise, x, sigmas, **_options(sampler, sampling, x, sigmas, seed, options or {})):
        yield step
    if step is not None and at is not None and sigmas[-1] == 0:
        # Some samplers end just above zero. What is kept has no noise even so.
        pasted = torch.where(at(sigmas[-2]) == 0, latent, step.x)
        if not torch.allclose(pasted, step.x, atol=1e-4):
            yield replace(step, x=pasted)
    if step is not None and sampling.process.alpha(sigmas[-1]) != 1:
        # Handed on with noise left in it, a flow's latent loses the weight that its clean part had.
        yield replace(step, x=sampling.inverse_noise_scaling(sigmas[-1], step.x))


def _options(
    sampler: SamplerSpec, sampling: ModelSampling, x: Tensor, sigmas: Tensor, seed: Seeds, given: Mapping[str, Any]
) -> dict[str, Any]:
    options: dict[str, Any] = {**sampler.defaults}
    if sampler.options_for is not None:
        options.update(sampler.options_for(sampling))
    if sampler.uses_process:
        options["process"] = sampling.process
    source = noise_source(sampler, x, sigmas, seed)
    if source is not None:
        options["noise"] = source
    return {**options, **given}


def noise_source(sampler: SamplerSpec, x: Tensor, sigmas: Tensor, seed: Seeds) -> NoiseSource | None:
    """The step noise that this sampler draws, or None."""
    if sampler.noise == "none":
        return None
    if sampler.noise in ("gaussian", "optional"):
        return step_noise(x, seed)
    positive = sigmas[sigmas > 0]
    device = "cpu" if sampler.noise == "brownian" else x.device
    return BrownianNoise(x, seed, positive.min().item(), positive.max().item(), device)


def _noise_after(latent: Tensor, seed: Seeds, offset: int) -> Tensor:
    if isinstance(seed, int):
        return prepare_noise(latent, (seed + offset) % SEED_LIMIT)
    return noise_of_images(latent, [(one + offset) % SEED_LIMIT for one in seed])


class Masked:
    """A denoiser that sees the original, noised to the level at hand, wherever the mask is 0, and answers it there."""

    def __init__(
        self,
        denoise: Denoiser,
        mask_at: Callable[[Tensor], Tensor],
        latent: Tensor,
        noise: Tensor,
        sampling: ModelSampling,
    ):
        self._denoise, self._mask_at, self._latent = denoise, mask_at, latent
        self._noise, self._sampling = noise, sampling

    def _input(self, x: Tensor, mask: Tensor, sigma: Tensor) -> Tensor:
        original = self._sampling.noise_scaling(sigma, self._noise, self._latent)
        return x * mask + original * (1 - mask)

    def _output(self, denoised: Tensor, mask: Tensor) -> Tensor:
        return denoised * mask + self._latent * (1 - mask)

    def __call__(self, x: Tensor, sigma: Tensor, /) -> Tensor:
        mask = self._mask_at(sigma)
        return self._output(self._denoise(self._input(x, mask, sigma), sigma), mask)

    def split(self, x: Tensor, sigma: Tensor, /) -> tuple[Tensor, Tensor]:
        """(guided, unconditional), the latter the same where nothing guides; only the first is masked."""
        mask = self._mask_at(sigma)
        guided, unconditional = both_answers(self._denoise, self._input(x, mask, sigma), sigma)
        return self._output(guided, mask), unconditional


def fit_mask(mask: Tensor, latent: Tensor) -> Tensor:
    """A mask of any size, [H, W], [B, H, W] or [B, 1, H, W], as [B, C, h, w] of the latent, bilinear."""
    mask = mask.reshape(-1, 1, *mask.shape[-2:]).to(latent.device, torch.float32)
    if mask.shape[-2:] != latent.shape[-2:]:
        mask = functional.interpolate(mask, size=tuple(latent.shape[-2:]), mode="bilinear")
    times = -(-len(latent) // len(mask))
    mask = mask.repeat(times, 1, 1, 1)[: len(latent)]
    return mask.reshape(len(latent), 1, *(1 for _ in latent.shape[2:-2]), *latent.shape[-2:]).expand_as(latent)


def window(
    levels: Tensor, start: int | None = None, end: int | None = None, *, force_full_denoise: bool = False
) -> Tensor:
    """The part of a schedule from step `start` to step `end`; empty when nothing is left to do.

    Ending early with `force_full_denoise` makes the last jump go to zero; otherwise noise is left for another sampler.
    """
    if end is not None and end < len(levels) - 1:
        levels = levels[: end + 1].clone()
        if force_full_denoise and len(levels):
            levels[-1] = 0
    if start is not None:
        levels = levels[start:] if start < len(levels) - 1 else levels[:0]
    return levels


def schedule_for(
    sampler: SamplerSpec,
    schedule: str,
    sampling: ModelSampling,
    steps: int,
    *,
    denoise: float = 1.0,
    start: int | None = None,
    end: int | None = None,
    force_full_denoise: bool = False,
) -> Tensor:
    """The levels that KSampler (denoise) and KSamplerAdvanced (start, end) run through; may be empty."""
    levels = schedule_sigmas(schedule, sampling, steps, denoise=denoise, discard_penultimate=sampler.needs_extra_sigma)
    return window(levels, start, end, force_full_denoise=force_full_denoise)


def initial_noise(latent: Mapping[str, Any], seed: int, *, add_noise: bool = True) -> Tensor:
    """Noise for a LATENT value, honouring its batch_index and PER_IMAGE; zeros without `add_noise`. On the CPU."""
    samples: Tensor = latent["samples"]
    if not add_noise:
        return torch.zeros(samples.shape, dtype=samples.dtype, device="cpu")
    seeds = seeds_for(latent, seed)
    if isinstance(seeds, int):
        return prepare_noise(samples, seed, latent.get("batch_index"))
    return noise_of_images(samples, seeds)


# The key under which a LATENT asks for noise that is each image's own.
PER_IMAGE = "noise_per_image"


def seeds_for(latent: Mapping[str, Any], seed: int) -> Seeds:
    """The seed of a LATENT's noise; with PER_IMAGE one for each image, so that none depends on the rest."""
    if not latent.get(PER_IMAGE):
        return seed
    return seeds_of_images(seed, latent.get("batch_index") or range(len(latent["samples"])))

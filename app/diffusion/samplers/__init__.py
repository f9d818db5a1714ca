"""Samplers: generators that take a denoiser from noise to a picture, one step at a time."""

from app.diffusion.samplers.catalogue import DEFAULT_SAMPLER, SAMPLERS, SamplerSpec, sampler_named

__all__ = ["DEFAULT_SAMPLER", "SAMPLERS", "SamplerSpec", "sampler_named"]

"""Nodes that turn noise into latents."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from app.api import Choice, Conditioning, Context, Latent, Model, Range, Seed, node
from app.diffusion.drawing import Recipe, draw
from app.diffusion.samplers import SAMPLERS
from app.diffusion.schedules.catalogue import SCHEDULES

Cfg = Annotated[float, Range(0.0, 100.0, step=0.1, round=0.01)]
Steps = Annotated[int, Range(1, 10000)]
Step = Annotated[int, Range(0, 10000)]
SamplerName = Annotated[str, Choice(*SAMPLERS)]
ScheduleName = Annotated[str, Choice(*SCHEDULES)]
Switch = Literal["enable", "disable"]


@node("KSampler", category="sampling", id="KSampler", aliases=("sampler", "denoise", "generate"))
def ksampler(
    *,
    context: Context,
    model: Model,
    seed: Annotated[int, Seed()] = 0,
    steps: Steps = 20,
    cfg: Cfg = 8.0,
    sampler_name: SamplerName,
    scheduler: ScheduleName,
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    denoise: Annotated[float, Range(0.0, 1.0, step=0.01)] = 1.0,
) -> Latent:
    """Draws: starts from noise, or from a noised latent, and removes the noise step by step.

    Args:
        model: The model that removes the noise.
        seed: The number that the noise is made from; the same seed gives the same picture.
        steps: More steps take longer and follow the model more closely.
        cfg: How strongly the positive prompt is preferred to the negative one; 1 ignores the negative one.
        sampler_name: The method that is used for each step.
        scheduler: How the noise is spread over the steps.
        positive: What the picture should show.
        negative: What the picture should not show.
        latent_image: The latent to start from; an empty one for a new picture.
        denoise: How much of the latent is replaced by noise; less than 1 keeps some of a picture.
    """
    recipe = Recipe(seed, steps, cfg, sampler_name, scheduler, denoise)
    return _drawn(context, model, positive, negative, latent_image, recipe)


@node("KSampler (Advanced)", category="sampling", id="KSamplerAdvanced", aliases=("sampler", "refiner"))
def ksampler_advanced(
    *,
    context: Context,
    model: Model,
    add_noise: Annotated[Switch, Choice("enable", "disable")],
    noise_seed: Annotated[int, Seed()] = 0,
    steps: Steps = 20,
    cfg: Cfg = 8.0,
    sampler_name: SamplerName,
    scheduler: ScheduleName,
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    start_at_step: Step = 0,
    end_at_step: Step = 10000,
    return_with_leftover_noise: Annotated[Switch, Choice("disable", "enable")],
) -> Latent:
    """Draws a part of the steps, so that several samplers can share the work.

    Args:
        add_noise: Whether to start by adding noise; a second sampler goes on without.
        noise_seed: The number that the noise is made from.
        start_at_step: The first step to make.
        end_at_step: The step to stop before.
        return_with_leftover_noise: Whether to leave the remaining noise for the next sampler.
    """
    recipe = Recipe(
        noise_seed,
        steps,
        cfg,
        sampler_name,
        scheduler,
        start=start_at_step,
        end=end_at_step,
        add_noise=add_noise == "enable",
        leave_noise=return_with_leftover_noise == "enable",
    )
    return _drawn(context, model, positive, negative, latent_image, recipe)


def _drawn(
    context: Context, model: Any, positive: Any, negative: Any, latent: dict[str, Any], recipe: Recipe
) -> dict[str, Any]:
    drawing = draw(model, positive, negative, latent, recipe)
    with context.models.on_device(*drawing.networks):
        for step in drawing:
            context.progress(step.index + 1, drawing.total, lambda step=step: model.preview(step.denoised[:1]))
    return drawing.result

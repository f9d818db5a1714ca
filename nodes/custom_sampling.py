"""Nodes that take a sampler apart: noise, guider, sampler, levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from torch import Tensor

from app.api import (
    Choice,
    Conditioning,
    Context,
    GuiderPort,
    Latent,
    Model,
    NoisePort,
    Range,
    SamplerPort,
    Seed,
    Sigmas,
    node,
)
from app.diffusion.drawing import Drawing, Noise, SamplerChoice, draw_levels, guider, guider_of_sides, noised
from app.diffusion.guidance.blends import dual, perpendicular_negative
from app.diffusion.samplers import SAMPLERS
from app.diffusion.samplers.catalogue import sampler_named

CATEGORY = "sampling/custom_sampling"
Cfg = Annotated[float, Range(0.0, 100.0, step=0.1, round=0.01)]
Strength = Annotated[float, Range(0.0, 100.0, step=0.01, round=False)]


@node("Random Noise", category=f"{CATEGORY}/noise", id="RandomNoise", aliases=("seed",))
def random_noise(*, noise_seed: Annotated[int, Seed()] = 0) -> NoisePort:
    """The noise of a seed, to start from."""
    return Noise(noise_seed)


@node("Disable Noise", category=f"{CATEGORY}/noise", id="DisableNoise")
def disable_noise() -> NoisePort:
    """No noise, to go on where another sampler stopped."""
    return Noise()


@node("KSampler Select", category=f"{CATEGORY}/samplers", id="KSamplerSelect")
def ksampler_select(*, sampler_name: Annotated[str, Choice(*SAMPLERS)]) -> SamplerPort:
    """Chooses a sampler by name."""
    return SamplerChoice(sampler_named(sampler_name))


@node("Sampler Euler Ancestral", category=f"{CATEGORY}/samplers", id="SamplerEulerAncestral")
def sampler_euler_ancestral(*, eta: Strength = 1.0, s_noise: Strength = 1.0) -> SamplerPort:
    """Euler's method with noise added after every step.

    Args:
        eta: How much noise is added; 0 for none.
        s_noise: A factor on that noise.
    """
    return SamplerChoice(sampler_named("euler_ancestral"), {"eta": eta, "s_noise": s_noise})


@node("Sampler DPM++ 2M SDE", category=f"{CATEGORY}/samplers", id="SamplerDPMPP_2M_SDE")
def sampler_dpmpp_2m_sde(
    *,
    solver_type: Literal["midpoint", "heun"],
    eta: Strength = 1.0,
    s_noise: Strength = 1.0,
    noise_device: Literal["gpu", "cpu"],
) -> SamplerPort:
    """DPM-Solver++ of second order with noise.

    Args:
        noise_device: Where the noise is drawn; on the CPU a seed gives the same picture on every machine.
    """
    name = "dpmpp_2m_sde" if noise_device == "cpu" else "dpmpp_2m_sde_gpu"
    return SamplerChoice(sampler_named(name), {"solver_type": solver_type, "eta": eta, "s_noise": s_noise})


@node("Basic Guider", category=f"{CATEGORY}/guiders", id="BasicGuider")
def basic_guider(*, model: Model, conditioning: Conditioning) -> GuiderPort:
    """Follows one prompt, without guidance."""
    return guider(model, conditioning, inputs=("conditioning", "negative"))


@node("CFG Guider", category=f"{CATEGORY}/guiders", id="CFGGuider")
def cfg_guider(*, model: Model, positive: Conditioning, negative: Conditioning, cfg: Cfg = 8.0) -> GuiderPort:
    """Follows the positive prompt, away from the negative one."""
    return guider(model, positive, negative, cfg)


@node("Dual CFG Guider", category=f"{CATEGORY}/guiders", id="DualCFGGuider", aliases=("instruct", "edit"))
def dual_cfg_guider(
    *,
    model: Model,
    cond1: Conditioning,
    cond2: Conditioning,
    negative: Conditioning,
    cfg_conds: Cfg = 8.0,
    cfg_cond2_negative: Cfg = 8.0,
    style: Annotated[str, Choice("regular", "nested")],
) -> GuiderPort:
    """Follows two prompts, each with a guidance of its own.

    Args:
        cond1: What is added to the second one, such as an instruction beside its picture.
        cond2: What both have in common, such as the picture alone.
        cfg_conds: How strongly the first is preferred to the second.
        cfg_cond2_negative: How strongly the second is preferred to the negative one.
        style: "nested" guides by the second scale from the negative prompt to what the first scale gave.
    """

    def combine(said: Sequence[Tensor]) -> Tensor:
        first, second, nothing = said
        nested = style == "nested"
        return dual(first, second, nothing, scale=cfg_conds, second_scale=cfg_cond2_negative, nested=nested)

    return guider_of_sides(model, {"cond1": cond1, "cond2": cond2, "negative": negative}, combine)


@node("Perp-Neg Guider", category="_for_testing", id="PerpNegGuider")
def perp_neg_guider(
    *,
    model: Model,
    positive: Conditioning,
    negative: Conditioning,
    empty_conditioning: Conditioning,
    cfg: Cfg = 8.0,
    neg_scale: Strength = 1.0,
) -> GuiderPort:
    """Follows the positive prompt, away from what only the negative one says.

    Args:
        empty_conditioning: An empty prompt, which both are compared with.
        neg_scale: How much of the negative prompt is taken away.
    """

    def combine(answers: Sequence[Tensor]) -> Tensor:
        return perpendicular_negative(*answers, scale=cfg, negative_scale=neg_scale)

    said = {"positive": positive, "negative": negative, "empty_conditioning": empty_conditioning}
    return guider_of_sides(model, said, combine)


@node("Add Noise", category="_for_testing/custom_sampling/noise", id="AddNoise")
def add_noise(*, model: Model, noise: NoisePort, sigmas: Sigmas, latent_image: Latent) -> Latent:
    """Adds noise to a latent, as much as the noise levels take away again."""
    return noised(model, latent_image, noise, sigmas)


@node("Sampler Custom", category=CATEGORY, id="SamplerCustom", outputs=("output", "denoised_output"))
def sampler_custom(
    *,
    context: Context,
    model: Model,
    add_noise: bool = True,
    noise_seed: Annotated[int, Seed()] = 0,
    cfg: Cfg = 8.0,
    positive: Conditioning,
    negative: Conditioning,
    sampler: SamplerPort,
    sigmas: Sigmas,
    latent_image: Latent,
) -> tuple[Latent, Latent]:
    """Draws along noise levels of your own."""
    follows = guider(model, positive, negative, cfg)
    seed = noise_seed if add_noise else None
    return finished(context, draw_levels(follows, latent_image, sigmas, sampler, seed, step_seed=noise_seed))


@node("Sampler Custom (Advanced)", category=CATEGORY, id="SamplerCustomAdvanced", outputs=("output", "denoised_output"))
def sampler_custom_advanced(
    *,
    context: Context,
    noise: NoisePort,
    guider: GuiderPort,
    sampler: SamplerPort,
    sigmas: Sigmas,
    latent_image: Latent,
) -> tuple[Latent, Latent]:
    """Draws from parts: noise, guider, sampler and noise levels."""
    return finished(context, draw_levels(guider, latent_image, sigmas, sampler, noise.seed, noise_from=noise))


def finished(context: Context, drawing: Drawing) -> tuple[Latent, Latent]:
    """(what came out, the model's last answer) once all steps are made; every step is told and shown."""
    model = drawing.model
    with context.models.on_device(*drawing.networks):
        for step in drawing:
            context.progress(step.index + 1, drawing.total, lambda step=step: model.preview(step.denoised[:1]))
    return drawing.result, drawing.denoised

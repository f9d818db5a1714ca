"""Nodes that change how a model is guided. The weights stay shared; the model that was given is not changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, TypedDict, Unpack

from torch import Tensor

from app.api import Conditioning, InvalidRequest, Model, Optionally, Options, Range, node
from app.diffusion.guidance import blends
from app.diffusion.guidance.classifier_free import blend, rescaled_velocity
from app.diffusion.guidance.differential import differential
from app.diffusion.guidance.hooks import Answers, Around, MaskAt, NetworkAt, Spread
from app.diffusion.guidance.perturbed import (
    perturbed_attention,
    self_attention_guidance,
    skip_layers,
    within,
    without_blocks,
)
from app.diffusion.guidance.windows import windows
from app.diffusion.models.hooks import Place

GUIDANCE = "advanced/guidance"
Scale = Annotated[float, Range(0.0, 100.0, step=0.01)]
Layers = Annotated[str, Options(multiline=False)]
Moment = Annotated[float, Range(0.0, 1.0, step=0.001)]
Strength = Annotated[float, Range(0.0, 10.0, step=0.1)]


class Hooks(TypedDict, total=False):
    """One function of each kind; see `GuidanceHooks`."""

    spread: Spread
    network: NetworkAt
    negative_network: NetworkAt
    before: Callable[[Answers], Answers]
    combine: Callable[[Answers], Tensor]
    after: Callable[[Tensor, Answers], Tensor]
    mask: MaskAt
    reuse: Around
    reuse_guided: Around
    needs_negative: bool


def hooked(model: Any, **hooks: Unpack[Hooks]) -> Any:
    """The model with one more hook of each kind."""
    return replace(model, guidance=model.guidance.with_hook(**hooks))


@node("RescaleCFG", category="advanced/model", id="RescaleCFG", aliases=("zsnr",))
def rescale_cfg(*, model: Model, multiplier: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.7) -> Model:
    """Keeps high guidance from oversaturating: the result gets the contrast of the positive answer.

    Args:
        multiplier: How much of that contrast; 0 changes nothing.
    """

    def combine(found: Answers) -> Tensor:
        yes, no, x, sigma = found.positive, found.negative, found.x, found.sigma
        return rescaled_velocity(yes, no, x, sigma, scale=found.scale, multiplier=multiplier)

    return hooked(model, combine=combine)


@node("RenormCFG", category="advanced/model", id="RenormCFG", aliases=("lumina",))
def renorm_cfg(
    *,
    model: Model,
    cfg_trunc: Annotated[float, Range(0.0, 100.0, step=0.01)] = 100,
    renorm_cfg: Annotated[float, Range(0.0, 100.0, step=0.01)] = 1.0,
) -> Model:
    """Keeps guidance from making the predicted noise stronger than the positive prompt's.

    Args:
        cfg_trunc: Guidance counts at noise levels below this one only; the default is for all.
        renorm_cfg: How strong the noise may be, in parts of the positive prompt's; 0 for no limit.
    """

    def combine(found: Answers) -> Tensor:
        if float(found.sigma) >= cfg_trunc:
            return found.positive
        return blends.renormed(found.scale, renorm_cfg)(found.positive, found.negative, found.x, found.sigma)

    return hooked(model, combine=combine)


@node("Perturbed-Attention Guidance", category="model_patches/unet", id="PerturbedAttentionGuidance", aliases=("PAG",))
def perturbed_attention_guidance(
    *, model: Model, scale: Annotated[float, Range(0.0, 100.0, step=0.01, round=0.01)] = 3.0
) -> Model:
    """Guides away from what the model draws without attention in its middle: firmer shapes, a call more a step."""
    return hooked(model, after=perturbed_attention(scale))


@node("Self-Attention Guidance", category="_for_testing", id="SelfAttentionGuidance", aliases=("SAG",))
def self_attention(
    *,
    model: Model,
    scale: Annotated[float, Range(-2.0, 5.0, step=0.01)] = 0.5,
    blur_sigma: Annotated[float, Range(0.0, 10.0, step=0.1)] = 2.0,
) -> Model:
    """Guides away from a picture blurred where the model looks most, for finer details. Two more calls a step."""
    return hooked(model, after=self_attention_guidance(scale, blur_sigma), needs_negative=True)


@node("Skip Layer Guidance SD3", category=GUIDANCE, id="SkipLayerGuidanceSD3", aliases=("SLG",))
def skip_layer_guidance_sd3(
    *,
    model: Model,
    layers: Layers = "7, 8, 9",
    scale: Strength = 3.0,
    start_percent: Moment = 0.01,
    end_percent: Moment = 0.15,
) -> Model:
    """Guides away from what the model draws without some of its layers, for better anatomy.

    Args:
        layers: The layers' numbers, with commas between them.
    """
    start, end = (model.sampling.percent_to_sigma(part) for part in (start_percent, end_percent))
    return hooked(model, after=skip_layers(places_of(layers, "joint"), scale, start=start, end=end))


@node("Skip Layer Guidance DiT", category=GUIDANCE, id="SkipLayerGuidanceDiT", aliases=("SLG",))
def skip_layer_guidance_dit(
    *,
    model: Model,
    double_layers: Layers = "7, 8, 9",
    single_layers: Layers = "7, 8, 9",
    scale: Strength = 3.0,
    start_percent: Moment = 0.01,
    end_percent: Moment = 0.15,
    rescaling_scale: Annotated[float, Range(0.0, 10.0, step=0.01)] = 0.0,
) -> Model:
    """Guides a transformer away from what it draws without some of its layers.

    Args:
        double_layers: Numbers of the layers that treat text and picture apart, with commas between them.
        single_layers: Numbers of the layers that treat both alike.
        rescaling_scale: How much of the positive answer's contrast the result gets.
    """
    start, end = (model.sampling.percent_to_sigma(part) for part in (start_percent, end_percent))
    places = _dit_places(double_layers, single_layers)
    return hooked(model, after=skip_layers(places, scale, start=start, end=end, rescaling=rescaling_scale))


@node("Skip Layer Guidance DiT (Simple)", category=GUIDANCE, id="SkipLayerGuidanceDiTSimple", aliases=("SLG",))
def skip_layer_guidance_dit_simple(
    *,
    model: Model,
    double_layers: Layers = "7, 8, 9",
    single_layers: Layers = "7, 8, 9",
    start_percent: Moment = 0.0,
    end_percent: Moment = 1.0,
) -> Model:
    """Lets a transformer answer the negative prompt without some of its layers; as many calls as ever."""
    start, end = (model.sampling.percent_to_sigma(part) for part in (start_percent, end_percent))
    weakened = without_blocks(_dit_places(double_layers, single_layers))
    return hooked(model, negative_network=within(weakened, start, end))


def places_of(layers: str, part: str) -> list[Place]:
    """Blocks by their numbers, "7, 8, 9". Raises InvalidRequest for anything else."""
    words = [word for word in layers.replace(",", " ").split() if word]
    wrong = [word for word in words if not word.isdigit()]
    if wrong:
        raise InvalidRequest(f"{wrong[0]!r} is no number of a layer.", remedy='Write numbers with commas: "7, 8, 9".')
    return [Place(part, int(word)) for word in words]


def _dit_places(double_layers: str, single_layers: str) -> list[Place]:
    return [
        *places_of(double_layers, "double"),
        *places_of(double_layers, "joint"),
        *places_of(single_layers, "single"),
    ]


@node("CFG Zero Star", category=GUIDANCE, id="CFGZeroStar", outputs=("patched_model",))
def cfg_zero_star(*, model: Model) -> Model:
    """Fits the negative answer to the positive one before guiding, for flow models."""

    def combine(found: Answers) -> Tensor:
        return blends.zero_star(found.scale)(found.positive, found.negative, found.x, found.sigma)

    return hooked(model, combine=combine)


@node("CFG Norm", category=GUIDANCE, id="CFGNorm", outputs=("patched_model",))
def cfg_norm(*, model: Model, strength: Scale = 1.0) -> Model:
    """Lets guidance turn the answer, but nowhere make it stronger than the positive one."""
    return hooked(model, after=lambda guided, found: blends.kept_norm(guided, found.positive, strength))


@node("Tangential Damping CFG", category=GUIDANCE, id="TCFG", outputs=("patched_model",))
def tangential_damping(*, model: Model) -> Model:
    """Drops what the negative answer says besides the direction that both answers share."""

    def before(found: Answers) -> Answers:
        return found.changed(negative=blends.tangential(0.0)(found.positive, found.negative, found.x, found.sigma))

    return hooked(model, before=before)


@node("Adaptive Projected Guidance", category="sampling/custom_sampling", id="APG")
def adaptive_projected_guidance(
    *,
    model: Model,
    eta: Annotated[float, Range(-10.0, 10.0, step=0.01)] = 1.0,
    norm_threshold: Annotated[float, Range(0.0, 50.0, step=0.1)] = 5.0,
    momentum: Annotated[float, Range(-5.0, 1.0, step=0.01)] = 0.0,
) -> Model:
    """Allows high guidance without oversaturation.

    Args:
        eta: How much of the guidance along the positive answer is kept.
        norm_threshold: How strong the guidance may be; 0 for no limit.
        momentum: Below 0, what the steps have in common is damped.
    """
    # A scale of 2 adds the treated guidance once, whatever scale the sampler has.
    treated = blends.AdaptiveProjected(2.0, eta=eta, norm_threshold=norm_threshold, momentum=momentum)

    def combine(found: Answers) -> Tensor:
        once = treated(found.positive, found.negative, found.x, found.sigma)
        return found.positive + (found.scale - 1) * (once - found.positive)

    return hooked(model, combine=combine)


@node("Mahiro", category="_for_testing", id="Mahiro", outputs=("patched_model",))
def mahiro(*, model: Model) -> Model:
    """Lets the positive prompt count by itself where guidance points along with the negative one."""
    return hooked(model, after=lambda guided, found: blends.directed(found.positive, found.negative, found.scale))


@node("Epsilon Scaling", category="model_patches/unet", id="Epsilon Scaling", aliases=("exposure bias",))
def epsilon_scaling(
    *, model: Model, scaling_factor: Annotated[float, Range(0.5, 1.5, step=0.001), Options(display="number")] = 1.005
) -> Model:
    """Divides the predicted noise by a factor, against the errors that add up over the steps."""
    return hooked(model, after=lambda guided, found: blends.scaled_noise(guided, found.x, scaling_factor))


@node("FreSca", category="_for_testing", id="FreSca")
def fresca(
    *,
    model: Model,
    scale_low: Annotated[float, Range(0, 10, step=0.01)] = 1.0,
    scale_high: Annotated[float, Range(0, 10, step=0.01)] = 1.25,
    freq_cutoff: Annotated[int, Range(1, 10000, step=1)] = 20,
) -> Model:
    """Scales coarse forms and fine details of the guidance apart.

    Args:
        freq_cutoff: How many frequencies around zero count as coarse.
    """

    def before(found: Answers) -> Answers:
        guidance = blends.filtered(found.positive - found.negative, scale_low, scale_high, freq_cutoff)
        return found.changed(positive=found.negative + guidance)

    return hooked(model, before=before)


@node("Dynamic Thresholding", category=GUIDANCE, id="LoomDynamicThresholding", aliases=("imagen", "cfg fix"))
def dynamic_thresholding(
    *,
    model: Model,
    mimic_scale: Annotated[float, Range(0.0, 100.0, step=0.1)] = 7.0,
    percentile: Annotated[float, Range(0.0, 1.0, step=0.001)] = 0.995,
) -> Model:
    """Allows high guidance with the contrast of a lower one.

    Args:
        mimic_scale: The guidance whose contrast the result gets.
        percentile: Which part of the values counts as within the contrast.
    """

    def after(guided: Tensor, found: Answers) -> Tensor:
        if found.scale <= mimic_scale:
            return guided
        return blends.thresholded(guided, blend(found.positive, found.negative, mimic_scale), percentile)

    return hooked(model, after=after)


@node("Perp-Neg", category="_for_testing", id="PerpNeg")
def perp_neg(*, model: Model, empty_conditioning: Conditioning, neg_scale: Scale = 1.0) -> Model:
    """Takes away of the negative prompt only what the positive one does not say. One more call a step.

    Args:
        empty_conditioning: An empty prompt, which both are compared with.
        neg_scale: How much of it is taken away.
    """

    def combine(found: Answers) -> Tensor:
        empty = found.ask(empty_conditioning, found.x)
        return blends.perpendicular_negative(
            found.positive, found.negative, empty, scale=found.scale, negative_scale=neg_scale
        )

    return hooked(model, combine=combine)


@node("Differential Diffusion", category="_for_testing", id="DifferentialDiffusion", aliases=("inpaint", "soft mask"))
def differential_diffusion(
    *, model: Model, strength: Annotated[float, Range(0.0, 1.0, step=0.01), Optionally()] = 1.0
) -> Model:
    """Lets a grey noise mask say for how much of the way a place may change.

    Args:
        strength: Below 1 some of the soft mask itself counts at every step.
    """
    return hooked(model, mask=differential(strength))


@node(
    "Tiled Sampling", category="model_patches", id="LoomTiledSampling", aliases=("multidiffusion", "panorama", "large")
)
def tiled_sampling(
    *,
    model: Model,
    tile_size: Annotated[int, Range(64, 16384, step=8)] = 512,
    overlap: Annotated[int, Range(0, 4096, step=8)] = 128,
) -> Model:
    """Draws pictures larger than the model knows, in overlapping windows that agree with each other at every step.

    Args:
        tile_size: The side of a window in pixels; the size that the model was trained on.
        overlap: How many pixels neighbouring windows share.
    """
    factor = model.latent.factor
    size = max(1, tile_size // factor)
    return hooked(model, spread=windows(size, min(overlap // factor, size - 1)))

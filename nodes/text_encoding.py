"""Nodes that encode prompts for models with several text encoders, and what they are told beside the text."""

from __future__ import annotations

from typing import Annotated, Literal

from app.api import Clip, Conditioning, Context, Range, Text, node
from app.diffusion.conditioning.entries import with_options
from app.diffusion.conditioning.hooked import said_by
from app.diffusion.given import naming

Prompt = Annotated[str, Text(multiline=True, dynamic=True)]
Side = Annotated[int, Range(0, 16384)]
Scale = Annotated[float, Range(0.0, 100.0, step=0.1)]
CATEGORY = "advanced/conditioning"
FLUX = "advanced/conditioning/flux"


@node("CLIPTextEncodeSDXL", category=CATEGORY, id="CLIPTextEncodeSDXL", aliases=("prompt", "size", "crop"))
def clip_text_encode_sdxl(
    *,
    context: Context,
    clip: Clip,
    width: Side = 1024,
    height: Side = 1024,
    crop_w: Side = 0,
    crop_h: Side = 0,
    target_width: Side = 1024,
    target_height: Side = 1024,
    text_g: Prompt,
    text_l: Prompt,
) -> Conditioning:
    """Encodes a prompt for SDXL and tells it of which size the picture is said to be.

    Args:
        width: Width of the picture before it was cropped; small ones were blurred.
        crop_w: How much was cut off at the left; 0 for a picture with its subject in the middle.
        crop_h: How much was cut off at the top.
        text_g: The prompt for CLIP bigG.
        text_l: The prompt for CLIP L.
    """
    sizes = {"width": width, "height": height, "crop_w": crop_w, "crop_h": crop_h}
    with context.models.on_device(clip.model):
        said = said_by(clip, lambda encoder: encoder.encode_each({"g": text_g, "l": text_l}))
    return with_options(said, **sizes, target_width=target_width, target_height=target_height)


@node("CLIPTextEncodeSDXLRefiner", category=CATEGORY, id="CLIPTextEncodeSDXLRefiner", aliases=("prompt", "aesthetic"))
def clip_text_encode_sdxl_refiner(
    *,
    context: Context,
    ascore: Annotated[float, Range(0.0, 1000.0, step=0.01)] = 6.0,
    width: Side = 1024,
    height: Side = 1024,
    text: Prompt,
    clip: Clip,
) -> Conditioning:
    """Encodes a prompt for SDXL's refiner and tells it how good the picture is said to be.

    Args:
        ascore: The aesthetic score, about 6 for what is wanted and 2.5 for what is not.
    """
    with context.models.on_device(clip.model), naming("text"):
        said = said_by(clip, lambda encoder: encoder.encode(text))
    return with_options(said, aesthetic_score=ascore, width=width, height=height)


@node("CLIPTextEncodeSD3", category=CATEGORY, id="CLIPTextEncodeSD3", aliases=("prompt", "t5"))
def clip_text_encode_sd3(
    *,
    context: Context,
    clip: Clip,
    clip_l: Prompt,
    clip_g: Prompt,
    t5xxl: Prompt,
    empty_padding: Literal["none", "empty_prompt"],
) -> Conditioning:
    """Encodes a prompt for Stable Diffusion 3, one for each of its text encoders.

    Args:
        empty_padding: What an encoder without a prompt says: nothing at all, or what it says of an empty prompt.
    """
    prompts = {"l": clip_l, "g": clip_g, "t5xxl": t5xxl}
    if empty_padding == "none":
        prompts = {name: text for name, text in prompts.items() if text}
    with context.models.on_device(clip.model):
        return said_by(clip, lambda encoder: encoder.encode_each(prompts))


@node("CLIPTextEncodeFlux", category=FLUX, id="CLIPTextEncodeFlux", aliases=("prompt", "t5", "guidance"))
def clip_text_encode_flux(
    *, context: Context, clip: Clip, clip_l: Prompt, t5xxl: Prompt, guidance: Scale = 3.5
) -> Conditioning:
    """Encodes a prompt for Flux, one for each of its text encoders, with the guidance that it follows.

    Args:
        guidance: How closely Flux dev follows the prompt; it has learnt to, so cfg stays at 1.
    """
    with context.models.on_device(clip.model):
        said = said_by(clip, lambda encoder: encoder.encode_each({"l": clip_l, "t5xxl": t5xxl}))
    return with_options(said, guidance=guidance)


@node("FluxGuidance", category=FLUX, id="FluxGuidance", aliases=("distilled", "cfg"))
def flux_guidance(*, conditioning: Conditioning, guidance: Scale = 3.5) -> Conditioning:
    """Says how closely Flux dev follows the prompt. It has learnt to, so cfg stays at 1.

    Args:
        guidance: 3.5 for most; less for looser and more photographic pictures.
    """
    return with_options(conditioning, guidance=guidance)


@node("FluxDisableGuidance", category=FLUX, id="FluxDisableGuidance", aliases=("distilled", "cfg"))
def flux_disable_guidance(*, conditioning: Conditioning) -> Conditioning:
    """Tells Flux no guidance at all, for models that were trained on without it."""
    return with_options(conditioning, guidance=None)


@node(
    "CLIPTextEncodeControlnet",
    category="_for_testing/conditioning",
    id="CLIPTextEncodeControlnet",
    experimental=True,
    aliases=("prompt",),
)
def clip_text_encode_controlnet(
    *, context: Context, clip: Clip, conditioning: Conditioning, text: Prompt
) -> Conditioning:
    """Gives the ControlNets of a prompt another text than the model's own.

    Args:
        text: What the ControlNets are told.
    """
    with context.models.on_device(clip.model), naming("text"):
        encoded = clip.encode(text)
    told = {"cross_attn_controlnet": encoded.context.cpu(), "pooled_output_controlnet": encoded.pooled.cpu()}
    return with_options(conditioning, **told)

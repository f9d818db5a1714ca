"""Nodes that give a prompt the look of a picture."""

from __future__ import annotations

from typing import Annotated, Literal

from app.api import Conditioning, Context, FileIn, Port, Range, node
from app.diffusion.conditioning.entries import appended, concatenated
from app.diffusion.guidance.attention_bias import OPTION, Span
from app.diffusion.models.clip_vision import VisionFeatures
from app.diffusion.models.style import StyleModel, style_tokens

Style = Annotated[StyleModel, Port("STYLE_MODEL")]
Seen = Annotated[VisionFeatures, Port("CLIP_VISION_OUTPUT")]


@node("Load Style Model", category="loaders", id="StyleModelLoader", aliases=("redux", "style adapter"))
def style_model_loader(*, context: Context, style_model_name: Annotated[str, FileIn("style_models")]) -> Style:
    """Loads a style model: Flux.1 Redux, or T2I-Adapter's for Stable Diffusion 1.

    Args:
        style_model_name: The file to load, from models/style_models.
    """
    return context.models.style_model(style_model_name)


@node(
    "Apply Style Model",
    category="conditioning/style_model",
    id="StyleModelApply",
    aliases=("redux", "image prompt", "variation"),
)
def style_model_apply(
    *,
    context: Context,
    conditioning: Conditioning,
    style_model: Style,
    clip_vision_output: Seen,
    strength: Annotated[float, Range(0.0, 10.0, step=0.001)] = 1.0,
    strength_type: Literal["multiply", "attn_bias"],
) -> Conditioning:
    """Adds what was seen in pictures to a prompt, as further words.

    Args:
        clip_vision_output: What a vision encoder has seen: SigLIP for Redux, CLIP ViT-L for T2I-Adapter.
        strength: How much the pictures count.
        strength_type: Whether the strength multiplies the words, or how much they are looked at.
    """
    with context.models.on_device(style_model):
        words = style_tokens(style_model, clip_vision_output)
    if strength_type == "multiply":
        return concatenated(conditioning, [[words * strength, {}]])
    said = concatenated(conditioning, [[words, {}]])
    if strength == 1:
        return said
    return [
        entry
        for before, after in zip(conditioning, said, strict=True)
        for entry in appended([after], OPTION, Span(before[0].shape[1], words.shape[1], strength))
    ]

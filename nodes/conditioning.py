"""Nodes that turn prompts into conditioning and change it."""

from __future__ import annotations

from typing import Annotated, Literal

from app.api import Clip, Conditioning, Context, Mask, Range, Text, node
from app.diffusion.conditioning.entries import averaged, concatenated, with_options, zeroed
from app.diffusion.conditioning.hooked import said_by
from app.diffusion.drawing import GRID
from app.diffusion.given import naming

Strength = Annotated[float, Range(0.0, 10.0, step=0.01)]
Side = Annotated[int, Range(64, 16384, step=8)]
Place = Annotated[int, Range(0, 16384, step=8)]
Part = Annotated[float, Range(0, 1.0, step=0.01)]
Moment = Annotated[float, Range(0.0, 1.0, step=0.001)]


@node("CLIP Text Encode (Prompt)", category="conditioning", id="CLIPTextEncode", aliases=("prompt", "text"))
def clip_text_encode(
    *, context: Context, text: Annotated[str, Text(multiline=True, dynamic=True)], clip: Clip
) -> Conditioning:
    """Encodes a prompt for the sampler. (word) and (word:1.2) weigh a part of it.

    Args:
        text: The prompt.
        clip: The text encoder of the checkpoint.
    """
    with context.models.on_device(clip.model), naming("text"):
        return said_by(clip, lambda encoder: encoder.encode(text))


@node("CLIP Set Last Layer", category="conditioning", id="CLIPSetLastLayer", aliases=("clip skip",))
def clip_set_last_layer(*, clip: Clip, stop_at_clip_layer: Annotated[int, Range(-24, -1, step=1)] = -1) -> Clip:
    """Lets the text encoder stop before its last layer.

    Args:
        stop_at_clip_layer: -1 is the last layer, -2 the one before it.
    """
    return clip.with_layer(stop_at_clip_layer)


@node("Conditioning (Combine)", category="conditioning", id="ConditioningCombine", aliases=("merge",))
def conditioning_combine(*, conditioning_1: Conditioning, conditioning_2: Conditioning) -> Conditioning:
    """Lets two prompts draw one picture: the sampler averages what they say."""
    return [*conditioning_1, *conditioning_2]


@node("Conditioning (Concat)", category="conditioning", id="ConditioningConcat", aliases=("join",))
def conditioning_concat(*, conditioning_to: Conditioning, conditioning_from: Conditioning) -> Conditioning:
    """Reads two prompts as one longer prompt."""
    return concatenated(conditioning_to, conditioning_from)


@node("Conditioning (Average)", category="conditioning", id="ConditioningAverage", aliases=("mix", "blend"))
def conditioning_average(
    *,
    conditioning_to: Conditioning,
    conditioning_from: Conditioning,
    conditioning_to_strength: Part = 1.0,
) -> Conditioning:
    """Mixes two prompts into one.

    Args:
        conditioning_to_strength: 1 for the first prompt alone, 0 for the second alone.
    """
    return averaged(conditioning_to, conditioning_from, conditioning_to_strength)


@node("Conditioning (Zero Out)", category="advanced/conditioning", id="ConditioningZeroOut", aliases=("empty",))
def conditioning_zero_out(*, conditioning: Conditioning) -> Conditioning:
    """Makes a prompt say nothing at all, which is less than an empty prompt says."""
    return zeroed(conditioning)


@node("Conditioning (Set Area)", category="conditioning", id="ConditioningSetArea", aliases=("region",))
def conditioning_set_area(
    *,
    conditioning: Conditioning,
    width: Side = 64,
    height: Side = 64,
    x: Place = 0,
    y: Place = 0,
    strength: Strength = 1.0,
) -> Conditioning:
    """Lets a prompt count in a rectangle only, in pixels."""
    area = (height // GRID, width // GRID, y // GRID, x // GRID)
    return with_options(conditioning, area=area, strength=strength, set_area_to_bounds=False)


@node(
    "Conditioning (Set Area with Percentage)",
    category="conditioning",
    id="ConditioningSetAreaPercentage",
    aliases=("region",),
)
def conditioning_set_area_percentage(
    *,
    conditioning: Conditioning,
    width: Part = 1.0,
    height: Part = 1.0,
    x: Part = 0,
    y: Part = 0,
    strength: Strength = 1.0,
) -> Conditioning:
    """Lets a prompt count in a rectangle only, in parts of the picture."""
    area = ("percentage", height, width, y, x)
    return with_options(conditioning, area=area, strength=strength, set_area_to_bounds=False)


@node("Conditioning (Set Area Strength)", category="conditioning", id="ConditioningSetAreaStrength")
def conditioning_set_area_strength(*, conditioning: Conditioning, strength: Strength = 1.0) -> Conditioning:
    """Says how much a prompt counts beside others."""
    return with_options(conditioning, strength=strength)


@node("Conditioning (Set Mask)", category="conditioning", id="ConditioningSetMask", aliases=("region",))
def conditioning_set_mask(
    *,
    conditioning: Conditioning,
    mask: Mask,
    strength: Strength = 1.0,
    set_cond_area: Literal["default", "mask bounds"],
) -> Conditioning:
    """Lets a prompt count where a mask is.

    Args:
        set_cond_area: "mask bounds" looks at the rectangle around the mask only, which is faster.
    """
    batch = mask.reshape(-1, *mask.shape[-2:])
    return with_options(
        conditioning, mask=batch, mask_strength=strength, set_area_to_bounds=set_cond_area == "mask bounds"
    )


@node("Conditioning (Set Timestep Range)", category="advanced/conditioning", id="ConditioningSetTimestepRange")
def conditioning_set_timestep_range(
    *, conditioning: Conditioning, start: Moment = 0.0, end: Moment = 1.0
) -> Conditioning:
    """Lets a prompt count for a part of the steps only.

    Args:
        start: When it begins to count; 0 is the first step.
        end: When it stops; 1 is the last step.
    """
    return with_options(conditioning, start_percent=start, end_percent=end)

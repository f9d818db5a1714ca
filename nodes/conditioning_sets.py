"""Nodes that set several properties of prompts at once, one prompt or a pair: mask, part of the way, hooks."""

from __future__ import annotations

from typing import Annotated, Literal

from app.api import Conditioning, Mask, Port, Range, node
from app.diffusion.conditioning.entries import hooked, with_options
from app.diffusion.guidance.weight_hooks import WeightHooks

Strength = Annotated[float, Range(0.0, 10.0, step=0.01)]
Moment = Annotated[float, Range(0.0, 1.0, step=0.001)]
Hooks = Annotated[WeightHooks, Port("HOOKS")]
Part = tuple[float, float]  # (start, end) in parts of the way
Stretch = Annotated[Part, Port("TIMESTEPS_RANGE")]
Bounds = Literal["default", "mask bounds"]
SINGLE, PAIR = "advanced/hooks/cond single", "advanced/hooks/cond pair"
SIDES = ("positive", "negative")


@node("Timesteps Range", category="advanced/hooks", id="ConditioningTimestepsRange", experimental=True)
def conditioning_timesteps_range(
    *, start_percent: Moment = 0.0, end_percent: Moment = 1.0
) -> tuple[
    Stretch,
    Annotated[Part, Port("TIMESTEPS_RANGE", "BEFORE_RANGE")],
    Annotated[Part, Port("TIMESTEPS_RANGE", "AFTER_RANGE")],
]:
    """A part of the way, what is before it, and what comes after."""
    return (start_percent, end_percent), (0.0, start_percent), (end_percent, 1.0)


def _set(
    said: Conditioning,
    strength: float,
    bounds: Bounds,
    mask: Mask | None,
    hooks: WeightHooks | None,
    timesteps: Part | None,
) -> Conditioning:
    if mask is not None:
        batch = mask.reshape(-1, *mask.shape[-2:])
        in_bounds = bounds == "mask bounds"
        said = with_options(said, mask=batch, mask_strength=strength, set_area_to_bounds=in_bounds)
    if timesteps is not None:
        said = with_options(said, start_percent=timesteps[0], end_percent=timesteps[1])
    return said if hooks is None else hooked(said, hooks)


@node("Cond Set Props", category=SINGLE, id="ConditioningSetProperties", experimental=True)
def conditioning_set_properties(
    *,
    cond_NEW: Conditioning,
    strength: Strength = 1.0,
    set_cond_area: Bounds,
    mask: Mask | None = None,
    hooks: Hooks | None = None,
    timesteps: Stretch | None = None,
) -> Conditioning:
    """Says where a prompt counts, when, and with which hooks.

    Args:
        strength: How much it counts where the mask is; without a mask it changes nothing.
        set_cond_area: "mask bounds" looks at the rectangle around the mask only, which is faster.
    """
    return _set(cond_NEW, strength, set_cond_area, mask, hooks, timesteps)


@node("Cond Set Props Combine", category=SINGLE, id="ConditioningSetPropertiesAndCombine", experimental=True)
def conditioning_set_properties_and_combine(
    *,
    cond: Conditioning,
    cond_NEW: Conditioning,
    strength: Strength = 1.0,
    set_cond_area: Bounds,
    mask: Mask | None = None,
    hooks: Hooks | None = None,
    timesteps: Stretch | None = None,
) -> Conditioning:
    """Adds a prompt to others, and says where it counts, when, and with which hooks.

    Args:
        cond: The prompts to which it is added.
        strength: How much it counts where the mask is; without a mask it changes nothing.
        set_cond_area: "mask bounds" looks at the rectangle around the mask only, which is faster.
    """
    return [*cond, *_set(cond_NEW, strength, set_cond_area, mask, hooks, timesteps)]


@node("Cond Set Default Combine", category=SINGLE, id="ConditioningSetDefaultCombine", experimental=True)
def conditioning_set_default_combine(
    *, cond: Conditioning, cond_DEFAULT: Conditioning, hooks: Hooks | None = None
) -> Conditioning:
    """Adds a prompt that counts where the others leave the picture uncovered."""
    return [*cond, *_default(cond_DEFAULT, hooks)]


def _default(said: Conditioning, hooks: WeightHooks | None) -> Conditioning:
    said = with_options(said, default=True)
    return said if hooks is None else hooked(said, hooks)


@node("Cond Pair Set Props", category=PAIR, id="PairConditioningSetProperties", outputs=SIDES, experimental=True)
def pair_conditioning_set_properties(
    *,
    positive_NEW: Conditioning,
    negative_NEW: Conditioning,
    strength: Strength = 1.0,
    set_cond_area: Bounds,
    mask: Mask | None = None,
    hooks: Hooks | None = None,
    timesteps: Stretch | None = None,
) -> tuple[Conditioning, Conditioning]:
    """Says where a pair of prompts counts, when, and with which hooks.

    Args:
        strength: How much it counts where the mask is; without a mask it changes nothing.
        set_cond_area: "mask bounds" looks at the rectangle around the mask only, which is faster.
    """
    positive, negative = (
        _set(said, strength, set_cond_area, mask, hooks, timesteps) for said in (positive_NEW, negative_NEW)
    )
    return positive, negative


@node(
    "Cond Pair Set Props Combine",
    category=PAIR,
    id="PairConditioningSetPropertiesAndCombine",
    outputs=SIDES,
    experimental=True,
)
def pair_conditioning_set_properties_and_combine(
    *,
    positive: Conditioning,
    negative: Conditioning,
    positive_NEW: Conditioning,
    negative_NEW: Conditioning,
    strength: Strength = 1.0,
    set_cond_area: Bounds,
    mask: Mask | None = None,
    hooks: Hooks | None = None,
    timesteps: Stretch | None = None,
) -> tuple[Conditioning, Conditioning]:
    """Adds a pair of prompts to others, and says where it counts, when, and with which hooks.

    Args:
        strength: How much it counts where the mask is; without a mask it changes nothing.
        set_cond_area: "mask bounds" looks at the rectangle around the mask only, which is faster.
    """
    wanted, unwanted = (
        _set(said, strength, set_cond_area, mask, hooks, timesteps) for said in (positive_NEW, negative_NEW)
    )
    return [*positive, *wanted], [*negative, *unwanted]


@node("Cond Pair Combine", category=PAIR, id="PairConditioningCombine", outputs=SIDES, experimental=True)
def pair_conditioning_combine(
    *, positive_A: Conditioning, negative_A: Conditioning, positive_B: Conditioning, negative_B: Conditioning
) -> tuple[Conditioning, Conditioning]:
    """Two pairs of prompts as one."""
    return [*positive_A, *positive_B], [*negative_A, *negative_B]


@node(
    "Cond Pair Set Default Combine",
    category=PAIR,
    id="PairConditioningSetDefaultCombine",
    outputs=SIDES,
    experimental=True,
)
def pair_conditioning_set_default_combine(
    *,
    positive: Conditioning,
    negative: Conditioning,
    positive_DEFAULT: Conditioning,
    negative_DEFAULT: Conditioning,
    hooks: Hooks | None = None,
) -> tuple[Conditioning, Conditioning]:
    """Adds a pair of prompts that counts where the others leave the picture uncovered."""
    return [*positive, *_default(positive_DEFAULT, hooks)], [*negative, *_default(negative_DEFAULT, hooks)]

"""Nodes that merge models and text encoders. What is given stays as it is; sums are computed when they are used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from app.api import Clip, Model, Range, node
from app.diffusion.adapters.merge import Shares, by_beginning, merged

CATEGORY = "advanced/model_merging"
Ratio = Annotated[float, Range(0.0, 1.0, step=0.01)]
Multiplier = Annotated[float, Range(-10.0, 10.0, step=0.01)]


@node("ModelMergeSimple", category=CATEGORY, id="ModelMergeSimple", aliases=("mix", "average"))
def model_merge_simple(*, model1: Model, model2: Model, ratio: Ratio = 1.0) -> Model:
    """Mixes two models of one family.

    Args:
        ratio: How much of the first model there is in the mixture; the rest is the second.
    """
    return merged_models(model1, model2, lambda _: (ratio, 1.0 - ratio))


@node("ModelMergeBlocks", category=CATEGORY, id="ModelMergeBlocks", aliases=("mix", "block weights"))
def model_merge_blocks(
    *, model1: Model, model2: Model, input: Ratio = 1.0, middle: Ratio = 1.0, out: Ratio = 1.0
) -> Model:
    """Mixes two U-Nets of one family, with a ratio for each part.

    Args:
        input: How much of the first model there is on the way down, and in what belongs to no part.
        middle: How much of the first model there is in the middle.
        out: How much of the first model there is on the way up.
    """
    share = by_beginning({"input": input, "middle": middle, "out": out})
    return merged_models(model1, model2, mixture(share))


@node("ModelMergeAdd", category=CATEGORY, id="ModelMergeAdd", aliases=("sum",))
def model_merge_add(*, model1: Model, model2: Model) -> Model:
    """Adds the weights of one model to another's, such as what Subtract has found."""
    return merged_models(model1, model2, lambda _: (1.0, 1.0))


@node("ModelMergeSubtract", category=CATEGORY, id="ModelMergeSubtract", aliases=("difference",))
def model_merge_subtract(*, model1: Model, model2: Model, multiplier: Multiplier = 1.0) -> Model:
    """Takes one model's weights from another's: what training has changed, to be added to a third.

    Args:
        multiplier: What the difference is multiplied with.
    """
    return merged_models(model1, model2, lambda _: (multiplier, -multiplier))


@node("CLIPMergeSimple", category=CATEGORY, id="CLIPMergeSimple", aliases=("mix", "text encoder"))
def clip_merge_simple(*, clip1: Clip, clip2: Clip, ratio: Ratio = 1.0) -> Clip:
    """Mixes two text encoders of one kind.

    Args:
        ratio: How much of the first there is in the mixture; the rest is the second.
    """
    return _merged_towers(clip1, clip2, lambda _: (ratio, 1.0 - ratio))


@node("CLIPMergeAdd", category=CATEGORY, id="CLIPMergeAdd", aliases=("sum", "text encoder"))
def clip_merge_add(*, clip1: Clip, clip2: Clip) -> Clip:
    """Adds the weights of one text encoder to another's."""
    return _merged_towers(clip1, clip2, lambda _: (1.0, 1.0))


@node("CLIPMergeSubtract", category=CATEGORY, id="CLIPMergeSubtract", aliases=("difference", "text encoder"))
def clip_merge_subtract(*, clip1: Clip, clip2: Clip, multiplier: Multiplier = 1.0) -> Clip:
    """Takes one text encoder's weights from another's.

    Args:
        multiplier: What the difference is multiplied with.
    """
    return _merged_towers(clip1, clip2, lambda _: (multiplier, -multiplier))


def mixture(share: Callable[[str], float]) -> Shares:
    """Shares that add up to 1, from the first network's share of each parameter."""
    return lambda name: (share(name), 1.0 - share(name))


def merged_models(first: Any, second: Any, shares: Shares) -> Any:
    """The first model with the sum of both networks."""
    return replace(first, network=merged(first.network, second.network, shares))


def _merged_towers(first: Any, second: Any, shares: Shares) -> Any:
    """Towers of the first that the second has too; others stay as they are."""
    theirs = second.towers
    return first.with_towers(
        {name: merged(tower, theirs[name], shares) for name, tower in first.towers.items() if name in theirs}
    )

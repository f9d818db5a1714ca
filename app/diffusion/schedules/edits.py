"""Schedules out of schedules, for the sigma nodes. All take and give levels [n + 1]."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType

import torch
from torch import Tensor

from app.errors import InvalidRequest

# Stands in for zero where a sampler would start from it.
LEAST = 1e-4

SPACINGS: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {
        "linear": lambda part: part,
        "cosine": lambda part: math.sin(part * math.pi / 2),
        "sine": lambda part: 1 - math.cos(part * math.pi / 2),
    }
)


def split(levels: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """The levels up to `step` and from it on; both contain it."""
    return levels[: step + 1], levels[step:]


def split_denoise(levels: Tensor, denoise: float) -> tuple[Tensor, Tensor]:
    """Split so that the second part has this share of the steps."""
    steps = max(len(levels) - 1, 0)
    return split(levels, steps - round(steps * denoise))


def flip(levels: Tensor) -> Tensor:
    """Reversed, for inversion; a leading zero becomes a small level."""
    flipped = levels.flip(0).clone()
    if len(flipped) and flipped[0] == 0:
        flipped[0] = LEAST
    return flipped


def with_first(levels: Tensor, sigma: float) -> Tensor:
    """The same with another first level."""
    changed = levels.clone()
    changed[:1] = sigma
    return changed


def extended(
    levels: Tensor, steps: int, *, start_at_sigma: float = -1.0, end_at_sigma: float = 12.0, spacing: str = "linear"
) -> Tensor:
    """Each step between two levels inside the range is divided into `steps`; a negative start means no upper end.

    Raises InvalidRequest for an unknown spacing.
    """
    if spacing not in SPACINGS:
        raise InvalidRequest(f"No spacing is called {spacing!r}.", remedy=f"Choose one of: {', '.join(SPACINGS)}.")
    start = math.inf if start_at_sigma < 0 else start_at_sigma
    parts = [SPACINGS[spacing](k / steps) for k in range(steps)]
    extended_levels: list[float] = []
    listed = [float(level) for level in levels]
    for level, following in pairwise(listed):
        inside = end_at_sigma <= level <= start
        extended_levels += [level + (following - level) * part for part in (parts if inside else [0.0])]
    return torch.tensor([*extended_levels, *listed[-1:]], dtype=levels.dtype)


def listed(text: str) -> list[float]:
    """Numbers with commas or blanks between them. Raises InvalidRequest for anything else, or for none."""
    words = text.replace(",", " ").split()
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise InvalidRequest(
            f"{text!r} is no list of numbers.", remedy='Write them like "14.6, 3.2, 0.5, 0".'
        ) from error
    if not numbers or not all(math.isfinite(number) for number in numbers):
        raise InvalidRequest(f"{text!r} holds no finite numbers.", remedy='Write them like "14.6, 3.2, 0.5, 0".')
    return numbers


def falling(levels: Tensor) -> Tensor:
    """The levels, if each is below the one before and none below zero. Raises InvalidRequest."""
    if (len(levels) > 1 and not bool((levels.diff() < 0).all())) or bool((levels < 0).any()):
        raise InvalidRequest(
            f"These levels do not fall from one to the next: {[round(float(level), 4) for level in levels]}.",
            remedy="List them from the noisiest down, each once, none below 0.",
        )
    return levels

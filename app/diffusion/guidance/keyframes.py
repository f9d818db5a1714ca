"""Strengths that change on the way: each keyframe counts from its part of the way until the next one begins."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from app.diffusion.parameterization import ModelSampling


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A factor on a strength, from `start` (0..1 of the way) on."""

    strength: float
    start: float


Keyframes = tuple[Keyframe, ...]

# How far a change has come (0..1) after a part of its way: Penner's quadratic curves, and half a turn of a cosine.
CURVES: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {
        "linear": lambda t: t,
        "ease_in": lambda t: t * t,
        "ease_out": lambda t: 1 - (1 - t) ** 2,
        "ease_in_out": lambda t: (1 - math.cos(math.pi * t)) / 2,
    }
)


def spread(strengths: Sequence[float], start: float, end: float) -> Keyframes:
    """The strengths at even distances from `start` to `end`, both included; a single one at `start`."""
    gap = (end - start) / max(1, len(strengths) - 1)
    return tuple(Keyframe(strength, start + index * gap) for index, strength in enumerate(strengths))


def interpolated(first: float, last: float, curve: str, count: int) -> list[float]:
    """`count` strengths (2 or more) from first to last along one of `CURVES`."""
    return [first + (last - first) * CURVES[curve](index / (count - 1)) for index in range(count)]


def added(keyframes: Keyframes, further: Sequence[Keyframe]) -> Keyframes:
    """All in the order of their starts; of those that start together the last counts."""
    return tuple(sorted([*keyframes, *further], key=lambda frame: frame.start))


def factor_at(keyframes: Keyframes, sigma: float, sampling: ModelSampling) -> float:
    """The strength at a noise level: 1 without keyframes, the first one's before any has begun."""
    begun = [frame for frame in keyframes if sigma <= sampling.percent_to_sigma(frame.start)]
    return (begun or list(keyframes[:1]) or [Keyframe(1.0, 0.0)])[-1].strength


def stretches(groups: Sequence[Keyframes]) -> list[tuple[float, float, tuple[float, ...]]]:
    """(start, end, the factor of each group) for every part of the way on which none of them changes."""
    marks = sorted({0.0, *(frame.start for group in groups for frame in group)})
    found: list[tuple[float, float, tuple[float, ...]]] = []
    for start, end in zip(marks, [*marks[1:], 1.0], strict=True):
        factors = tuple(_after(group, start) for group in groups)
        if found and found[-1][2] == factors:
            found[-1] = found[-1][0], end, factors
        elif end > start or not found:
            found.append((start, end, factors))
    return found


def _after(keyframes: Keyframes, part: float) -> float:
    begun = [frame for frame in keyframes if frame.start <= part]
    return (begun or list(keyframes[:1]) or [Keyframe(1.0, 0.0)])[-1].strength

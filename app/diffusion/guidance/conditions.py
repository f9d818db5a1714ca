"""Conditioning entries, [tensor [B, T, D], options], resolved against a model and a latent.

Options: strength; area (height, width, y, x in latent cells, or ("percentage", …) in parts of the latent); mask with
mask_strength and set_area_to_bounds; start_percent and end_percent, and clip_start_percent and clip_end_percent of what
a text encoder says for a part of the way; hooks, changes of weights for this entry alone; default; everything else is
for the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.diffusion.parameterization import ModelSampling

Entry = Sequence[Any]
# (tensor, options) → what the network takes by keyword; tensors have the batch first
Arguments = Callable[[Tensor, Mapping[str, Any]], Mapping[str, Any]]
# (x, sigma, arguments) → further keywords, such as a ControlNet's residuals; under "network" the arguments hold what is
# asked where that is not the model's own
Adjust = Callable[[Tensor, Tensor, Mapping[str, Any]], Mapping[str, Any]]


class Variant(Protocol):
    """The network as a condition wants it, where that is not the model's own."""

    def at(self, sigma: float) -> nn.Module:
        """The network at this level."""
        ...


# what an entry has as hooks → the network under them
Variants = Callable[[Any], Variant]

# Areas fade in over this many latent cells, except at the picture's border.
FEATHER = 8
SMALLEST_AREA = 8


class Area(NamedTuple):
    """A rectangle in latent cells."""

    height: int
    width: int
    y: int
    x: int

    def of(self, value: Tensor) -> Tensor:
        """The part of value [..., h, w] inside."""
        return value[..., self.y : self.y + self.height, self.x : self.x + self.width]

    def holds(self, other: Area) -> bool:
        """Whether other lies inside."""
        return (
            self.y <= other.y
            and self.x <= other.x
            and other.y + other.height <= self.y + self.height
            and other.x + other.width <= self.x + self.width
        )


@dataclass(frozen=True)
class Condition:
    """One thing said about a part of the picture for a part of the way."""

    arguments: Mapping[str, Any]
    strength: float = 1.0
    area: Area | None = None
    mask: Tensor | None = None  # (B or 1, 1, h, w)
    sigma_start: float = float("inf")
    sigma_end: float = 0.0
    is_default: bool = False
    adjust: Adjust | None = None
    variant: Variant | None = None

    def active(self, sigma: float) -> bool:
        """Whether it counts at this level; both ends are included."""
        return self.sigma_end <= sigma <= self.sigma_start

    def weight(self, latent: Tensor) -> Tensor:
        """How much it counts in each cell of its area, broadcastable to latent's part there."""
        part = latent if self.area is None else self.area.of(latent)
        if self.mask is not None:
            mask = self.mask if self.area is None else self.area.of(self.mask)
            return mask.to(latent) * self.strength
        weight = torch.full_like(part[:1, :1], self.strength)
        return weight if self.area is None else _feathered(weight, self.area, latent.shape[-2:])


def _feathered(weight: Tensor, area: Area, size: Sequence[int]) -> Tensor:
    spans = ((-2, area.y, area.height, size[0]), (-1, area.x, area.width, size[1]))
    for axis, start, length, whole in spans:
        fade = min(FEATHER, weight.shape[axis] // 4)
        ramp = torch.ones(weight.shape[axis], dtype=weight.dtype, device=weight.device)
        rise = torch.arange(1, fade + 1, dtype=weight.dtype, device=weight.device) / max(fade, 1)
        if start > 0:
            ramp[:fade] = rise
        if start + length < whole and fade:
            ramp[-fade:] = ramp[-fade:] * rise.flip(0)
        weight = weight * (ramp[:, None] if axis == -2 else ramp)
    return weight


def conditions_of(
    entries: Sequence[Entry],
    sampling: ModelSampling,
    latent: Tensor,
    arguments_of: Arguments,
    variants: Variants | None = None,
) -> list[Condition]:
    """Entries as conditions for a latent [B, C, h, w]; only its shape and device are read.

    Without `variants` hooks change nothing.
    """
    return [_condition(tensor, options, sampling, latent, arguments_of, variants) for tensor, options in entries]


def _condition(
    tensor: Tensor,
    options: Mapping[str, Any],
    sampling: ModelSampling,
    latent: Tensor,
    arguments_of: Arguments,
    variants: Variants | None,
) -> Condition:
    mask = _mask(options, latent)
    area = _area(options.get("area"), latent)
    if mask is not None and options.get("set_area_to_bounds"):
        area = _bounds(mask)
    starts = [options[key] for key in ("start_percent", "clip_start_percent") if options.get(key) is not None]
    ends = [options[key] for key in ("end_percent", "clip_end_percent") if options.get(key) is not None]
    hooks = options.get("hooks")
    return Condition(
        arguments_of(tensor, options),
        strength=float(options.get("strength", 1.0)),
        area=area,
        mask=mask,
        sigma_start=min((sampling.percent_to_sigma(start) for start in starts), default=float("inf")),
        sigma_end=max((sampling.percent_to_sigma(end) for end in ends), default=0.0),
        is_default=bool(options.get("default", False)),
        adjust=options.get("adjust"),
        variant=variants(hooks) if variants is not None and hooks else None,
    )


def _area(given: Sequence[Any] | None, latent: Tensor) -> Area | None:
    if given is None:
        return None
    rows, columns = latent.shape[-2:]
    if given[0] == "percentage":
        height, width, y, x = given[1:]
        given = max(1, round(height * rows)), max(1, round(width * columns)), round(y * rows), round(x * columns)
    height, width, y, x = (int(v) for v in given)
    y, x = min(y, rows - 1), min(x, columns - 1)
    return Area(min(height, rows - y), min(width, columns - x), y, x)


def _mask(options: Mapping[str, Any], latent: Tensor) -> Tensor | None:
    mask = options.get("mask")
    if mask is None:
        return None
    mask = mask.reshape(-1, 1, *mask.shape[-2:]).to(latent.device, torch.float32)
    if mask.shape[-2:] != latent.shape[-2:]:
        mask = functional.interpolate(mask, size=tuple(latent.shape[-2:]), mode="bilinear")
    return mask * float(options.get("mask_strength", 1.0))


def _bounds(mask: Tensor) -> Area:
    covered = mask.abs().amax(dim=(0, 1)) > 0
    rows, columns = covered.any(dim=1).nonzero().flatten(), covered.any(dim=0).nonzero().flatten()
    whole_rows, whole_columns = covered.shape
    if not len(rows):
        return Area(min(SMALLEST_AREA, whole_rows), min(SMALLEST_AREA, whole_columns), 0, 0)
    y, x = int(rows[0]), int(columns[0])
    height = max(SMALLEST_AREA, int(rows[-1]) - y + 1)
    width = max(SMALLEST_AREA, int(columns[-1]) - x + 1)
    return Area(min(height, whole_rows - y), min(width, whole_columns - x), y, x)


def matched(conditions: Sequence[Condition], others: Sequence[Condition]) -> list[Condition]:
    """conditions, and for each area of others that none of them has, the closest fitting one on that area.

    Guidance then compares two answers that were both made from the same part of the picture.
    """
    result = list(conditions)
    for area in dict.fromkeys(other.area for other in others if other.area is not None):
        if any(c.area == area for c in result):
            continue
        fitting = [c for c in conditions if not c.is_default and (c.area is None or c.area.holds(area))]
        if fitting:
            closest = min(fitting, key=lambda c: float("inf") if c.area is None else c.area.height * c.area.width)
            result.append(replace(closest, area=area))
    return result

"""Functions on parts of a picture, for packs that upscale: overlapping tiles that fade into each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from app.diffusion.tiles import starts

Factor = float | Callable[[float], float]


def get_tiled_scale_steps(width: int, height: int, tile_x: int, tile_y: int, overlap: int) -> int:
    """How many tiles there will be."""
    rows = 1 if height <= tile_y else math.ceil((height - overlap) / (tile_y - overlap))
    columns = 1 if width <= tile_x else math.ceil((width - overlap) / (tile_x - overlap))
    return rows * columns


def tiled_scale(
    samples: Tensor,
    function: Callable[[Tensor], Tensor],
    tile_x: int = 64,
    tile_y: int = 64,
    overlap: int = 8,
    upscale_amount: Factor = 4,
    out_channels: int = 3,
    output_device: Any = "cpu",
    pbar: Any = None,
) -> Tensor:
    """`function` on tiles of (B, C, H, W), whose results are `upscale_amount` times as large, put together again."""
    return tiled_scale_multidim(
        samples, function, (tile_y, tile_x), overlap, upscale_amount, out_channels, output_device, pbar=pbar
    )


def tiled_scale_multidim(
    samples: Tensor,
    function: Callable[[Tensor], Tensor],
    tile: Sequence[int] = (64, 64),
    overlap: int | Sequence[int] = 8,
    upscale_amount: Factor | Sequence[Factor] = 4,
    out_channels: int = 3,
    output_device: Any = "cpu",
    downscale: bool = False,
    index_formulas: Any = None,
    pbar: Any = None,
) -> Tensor:
    """As `tiled_scale`, over as many trailing dimensions as `tile` has sizes; `downscale` divides by the factor."""
    dimensions = len(tile)
    overlaps = [overlap] * dimensions if isinstance(overlap, int) else list(overlap)
    several = isinstance(upscale_amount, Sequence)
    factors = (
        list(cast("Sequence[Factor]", upscale_amount)) if several else [cast("Factor", upscale_amount)] * dimensions
    )
    sizes = samples.shape[-dimensions:]

    def scaled(length: float, axis: int) -> int:
        factor = factors[axis]
        if callable(factor):
            return round(factor(length))
        return round(length / factor) if downscale else round(length * factor)

    shape = [scaled(size, axis) for axis, size in enumerate(sizes)]
    output = torch.empty((len(samples), out_channels, *shape), device=output_device)
    places = [
        list(dict.fromkeys(starts(size, min(tile[axis], size), min(overlaps[axis], tile[axis] - 1))))
        for axis, size in enumerate(sizes)
    ]
    for index in range(len(samples)):
        total = torch.zeros((1, out_channels, *shape), device=output_device)
        weights = torch.zeros_like(total)
        for corner in itertools.product(*places):
            part = samples[index : index + 1]
            for axis, start in enumerate(corner):
                dimension = part.ndim - dimensions + axis
                part = part.narrow(dimension, start, min(tile[axis], part.shape[dimension] - start))
            result = function(part).to(output_device)
            weight = _faded(result, dimensions, [scaled(each, axis) for axis, each in enumerate(overlaps)])
            target = (..., *(slice(scaled(s, a), scaled(s, a) + result.shape[2 + a]) for a, s in enumerate(corner)))
            total[target] += result * weight
            weights[target] += weight
            if pbar is not None:
                pbar.update(1)
        output[index : index + 1] = total / weights
    return output


def _faded(part: Tensor, dimensions: int, overlaps: Sequence[int]) -> Tensor:
    """Weights that rise linearly from the edges over the overlap."""
    weight = torch.ones((), device=part.device)
    for axis in range(dimensions):
        length = part.shape[2 + axis]
        place = torch.arange(length, device=part.device, dtype=torch.float32)
        ramp = ((torch.minimum(place, length - 1 - place) + 1) / (overlaps[axis] + 1)).clamp(max=1)
        weight = weight * ramp.view(-1, *(1 for _ in range(dimensions - axis - 1)))
    return weight

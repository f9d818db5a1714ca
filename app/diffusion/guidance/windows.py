"""Pictures larger than a model knows, asked in overlapping windows whose answers are averaged (arXiv:2302.08113)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from app.diffusion.guidance.conditions import Area, Condition
from app.diffusion.guidance.hooks import Spread
from app.diffusion.tiles import starts


def windows(size: int, overlap: int) -> Spread:
    """Each condition asked in windows of `size` × `size` latent pixels that share `overlap`, within its own area.

    The windows fade into each other as areas do; what is said of a part of the picture reaches the windows there.
    """

    def spread(conditions: Sequence[Condition], latent: Tensor) -> list[Condition]:
        rows, columns = latent.shape[-2:]
        if rows <= size and columns <= size:
            return list(conditions)
        places = [
            Area(min(size, rows), min(size, columns), top, left)
            for top in starts(rows, size, overlap)
            for left in starts(columns, size, overlap)
        ]
        return [
            replace(condition, area=part)
            for condition in conditions
            for place in places
            if (part := common(condition.area, place)) is not None
        ]

    return spread


def common(area: Area | None, window: Area) -> Area | None:
    """What both cover; None for nothing."""
    if area is None:
        return window
    top, left = max(area.y, window.y), max(area.x, window.x)
    bottom = min(area.y + area.height, window.y + window.height)
    right = min(area.x + area.width, window.x + window.width)
    return Area(bottom - top, right - left, top, left) if bottom > top and right > left else None

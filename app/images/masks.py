"""Masks: made, grown, faded, combined.

B masks, H × W pixels, values in 0..1: (B, H, W) or (H, W)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from app.errors import InvalidRequest

Operation = Callable[[Tensor, Tensor], Tensor]


def as_batch(mask: Tensor) -> Tensor:
    """Any mask, (H, W), (B, H, W) or (B, 1, H, W), as (B, H, W)."""
    return mask.reshape(-1, *mask.shape[-2:])


def grow(mask: Tensor, by: int, *, tapered: bool = True) -> Tensor:
    """The mask grown by so many pixels, shrunk where `by` is negative; (B, H, W).

    Each pixel grows into a square, or with `tapered` into a diamond.
    """
    grown = as_batch(mask).float()[:, None]
    for _ in range(min(abs(by), max(grown.shape[-2:]))):
        grown = _step(grown, tapered) if by > 0 else 1 - _step(1 - grown, tapered)
    return grown[:, 0]


def _step(mask: Tensor, tapered: bool) -> Tensor:
    if not tapered:
        return functional.max_pool2d(mask, 3, stride=1, padding=1)
    across = functional.max_pool2d(mask, (1, 3), stride=1, padding=(0, 1))
    return torch.maximum(across, functional.max_pool2d(mask, (3, 1), stride=1, padding=(1, 0)))


def feather(mask: Tensor, left: int, top: int, right: int, bottom: int) -> Tensor:
    """The mask fading in from its edges, each over that many pixels; (B, H, W)."""
    batch = as_batch(mask).float()
    height, width = batch.shape[-2:]
    columns = _fade(width, left, right).to(batch.device)
    rows = _fade(height, top, bottom).to(batch.device)
    return batch * columns * rows[:, None]


def _fade(length: int, start: int, end: int) -> Tensor:
    start, end = min(start, length), min(end, length)
    fade = torch.ones(length)
    fade[:start] *= torch.arange(1, start + 1) / max(start, 1)
    fade[length - end :] *= torch.arange(end, 0, -1) / max(end, 1)
    return fade


def colour_mask(image: Tensor, colour: int) -> Tensor:
    """1 where an image (B, H, W, C) has exactly the colour 0xRRGGBB in 8 bits, else 0."""
    bytes_ = (image[..., :3].clamp(0, 1) * 255).round().long()
    wanted = torch.tensor([colour >> 16 & 255, colour >> 8 & 255, colour & 255], device=image.device)
    return (bytes_ == wanted).all(dim=-1).float()


def combine(destination: Tensor, source: Tensor, x: int, y: int, operation: str) -> Tensor:
    """`destination` (B, H, W) with `source` combined into it at (x, y); what lies outside is cut.

    Raises:
        InvalidRequest: an unknown operation.
    """
    if operation not in OPERATIONS:
        raise InvalidRequest(f"{operation!r} is no way to combine masks.", remedy=f"Use {', '.join(OPERATIONS)}.")
    result = as_batch(destination).float().clone()
    other = as_batch(source).float().to(result.device)
    if len(result) < len(other):
        result = repeated(result, len(other))
    part = result[:, y : y + other.shape[-2], x : x + other.shape[-1]]
    part[:] = OPERATIONS[operation](part, repeated(other, len(result))[:, : part.shape[-2], : part.shape[-1]])
    return result.clamp(0, 1)


def repeated(batch: Tensor, count: int) -> Tensor:
    """`count` items, from the first on again and again."""
    return batch[torch.arange(count, device=batch.device) % len(batch)] if len(batch) != count else batch


def _logical(of: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    return lambda first, second: of(first.round().bool(), second.round().bool()).float()


OPERATIONS: Mapping[str, Operation] = {
    "multiply": torch.mul,
    "add": torch.add,
    "subtract": torch.sub,
    "and": _logical(torch.logical_and),
    "or": _logical(torch.logical_or),
    "xor": _logical(torch.logical_xor),
}

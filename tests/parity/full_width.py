"""Weights for networks of the published width: quickly made, the same every time, none of them zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)
TOLERANCE = 1e-4  # of the largest value
POOL = 1_000_003  # a prime, so that no two rows of a matrix are the same numbers


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, as a part of the largest value."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


def filled(module: M, seed: int) -> M:
    """Weights that keep the signal's size, and biases and scales that are not neutral, so that nothing hides."""
    pool = torch.randn(POOL, generator=torch.Generator().manual_seed(seed))
    for index, (name, value) in enumerate(module.named_parameters()):
        count = value.numel()
        noise = pool.roll(-97 * index).repeat(-(-count // POOL))[:count].view(value.shape)
        if value.dim() == 1:
            is_scale = name.endswith(("weight", "scale"))
            value.data = 1.0 + 0.1 * noise if is_scale else 0.05 * noise
        else:
            value.data = noise if value.dim() == 3 else noise.mul_(value[0].numel() ** -0.5)
    return module.eval().requires_grad_(False)


def built(build: Callable[[], M], seed: int) -> M:
    """A network without an initialisation of its own, filled."""
    with torch.device("meta"):
        module = build()
    return filled(module.to_empty(device="cpu"), seed)


def normal(*shape: int, seed: int) -> Tensor:
    """Normal numbers of a seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

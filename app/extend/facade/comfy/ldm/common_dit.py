"""`comfy.ldm.common_dit`: what transformers over patches share."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def pad_to_patch_size(img: Tensor, patch_size: tuple[int, ...] = (2, 2), padding_mode: str = "circular") -> Tensor:
    """The picture (B, C, …) with trailing sides filled up to multiples of the patch's."""
    pads: list[int] = []
    for size, patch in zip(reversed(img.shape[-len(patch_size) :]), reversed(patch_size), strict=True):
        pads += [0, -size % patch]
    return functional.pad(img, pads, mode=padding_mode) if any(pads) else img


def rms_norm(x: Tensor, weight: Tensor | None = None, eps: float = 1e-6) -> Tensor:
    """x / rms(x) over the last axis, times the weight."""
    return functional.rms_norm(x, x.shape[-1:], weight, eps)

"""Changes of a U-Net's features that need no training: FreeU, scaled attention, fewer places in deep blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from app.diffusion.guidance.hooks import NetworkAt
from app.diffusion.models.hooks import Attend, Looking, NetworkHooks, Place

# (features) → by how much their first half of channels is multiplied, given the factor
Emphasis = Callable[[Tensor, float], Tensor | float]


def free_u(channels: int, backbone: tuple[float, float], skips: tuple[float, float], *, by_content: bool) -> NetworkAt:
    """FreeU (arXiv:2309.11497): stronger features on the way up, and skips with weaker low frequencies.

    `channels` are the network's first; the factors hold where the features have four and two times as many.
    `by_content`, as in the second version, emphasises most where the features' mean is largest.
    """
    factors = {4 * channels: (backbone[0], skips[0]), 2 * channels: (backbone[1], skips[1])}

    def entering(place: Place, x: Tensor, skip: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if place.part != "output" or skip is None or x.shape[1] not in factors:
            return x, skip
        strength, weakness = factors[x.shape[1]]
        half = x.shape[1] // 2
        factor = (strength - 1) * _stretched_mean(x) + 1 if by_content else strength
        return torch.cat([x[:, :half] * factor, x[:, half:]], dim=1), low_frequencies_scaled(skip, 1, weakness)

    hooks = NetworkHooks(entering=(entering,)).row_by_row()
    return lambda sigma: hooks


def _stretched_mean(x: Tensor) -> Tensor:
    """The mean over channels, stretched to 0..1 in each sample: (B, 1, h, w)."""
    mean = x.mean(1, keepdim=True)
    low, high = mean.amin((2, 3), keepdim=True), mean.amax((2, 3), keepdim=True)
    return (mean - low) / (high - low).clamp(min=1e-12)


def low_frequencies_scaled(x: Tensor, threshold: int, scale: float) -> Tensor:
    """x (B, C, h, w) with its frequencies below the threshold, along both sides, multiplied by `scale`."""
    fourier: Any = torch.fft  # torch does not say what its members return
    spectrum: Tensor = fourier.fftshift(fourier.fftn(x.float(), dim=(-2, -1)), dim=(-2, -1))
    rows, columns = (side // 2 for side in x.shape[-2:])
    top, left = max(rows - threshold, 0), max(columns - threshold, 0)
    spectrum[..., top : rows + threshold, left : columns + threshold] *= scale
    back: Tensor = fourier.ifftn(fourier.ifftshift(spectrum, dim=(-2, -1)), dim=(-2, -1))
    return back.real.to(x.dtype)


def scaled_attention(name: str, q: float, k: float, v: float, out: float) -> NetworkAt:
    """Attention of this name with scaled queries, keys, values and results."""

    def attend(looking: Looking, usual: Attend) -> Attend:
        return (lambda a, b, c: usual(a * q, b * k, c * v)) if looking.name == name else usual

    def attended(looking: Looking, x: Tensor) -> Tensor:
        return x * out if looking.name == name else x

    hooks = NetworkHooks(attend=(attend,), attended=(attended,)).row_by_row()
    return lambda sigma: hooks


def shrunk(
    block: int,
    factor: float,
    *,
    start: float,
    end: float,
    after_skip: bool = True,
    resize: Callable[[Tensor, int, int], Tensor],
    enlarge: Callable[[Tensor, int, int], Tensor],
) -> NetworkAt:
    """Fewer places from an input block on, at levels from `start` down to `end`, so that large pictures keep one form.

    The features get the skips' size back on the way up. With `after_skip` that block's own skip stays large.
    """

    def smaller(x: Tensor) -> Tensor:
        rows, columns = (max(1, round(side / factor)) for side in x.shape[-2:])
        return resize(x, columns, rows)

    def entering(place: Place, x: Tensor, skip: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if skip is not None and skip.shape[-2:] != x.shape[-2:]:
            return enlarge(x, skip.shape[-1], skip.shape[-2]), skip
        return (smaller(x) if after_skip and place == Place("input", block + 1) else x), skip

    def leaving(place: Place, x: Tensor) -> Tensor:
        return smaller(x) if not after_skip and place == Place("input", block) else x

    hooks = NetworkHooks(entering=(entering,), leaving=(leaving,)).row_by_row()
    return lambda sigma: hooks if end <= sigma <= start else NetworkHooks()


def interpolated(mode: str) -> Callable[[Tensor, int, int], Tensor]:
    """A resize (x, width, height) by one of torch's modes."""
    return lambda x, width, height: functional.interpolate(x, size=(height, width), mode=mode)

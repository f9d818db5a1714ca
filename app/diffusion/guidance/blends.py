"""Other ways to blend a positive and a negative answer; each makes a `Blend` or works on answers directly.

Inner products and norms are over each sample alone, so that a picture does not depend on its batch.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from app.diffusion.guidance.classifier_free import Blend, blend, rescaled_velocity


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=tuple(range(1, a.ndim)), keepdim=True)


def _right_vectors(matrices: Tensor) -> Tensor:
    # Torch does not say what its linear algebra returns.
    return cast("Tensor", torch.linalg.svd(matrices, full_matrices=False).Vh)  # pyright: ignore[reportUnknownMemberType]


def along(value: Tensor, direction: Tensor) -> Tensor:
    """The part of value parallel to direction, per sample."""
    return _inner(value, direction) / _inner(direction, direction).clamp(min=1e-12) * direction


def rescale(scale: float, multiplier: float = 0.7) -> Blend:
    """Guidance whose velocity keeps the standard deviation of the positive one (arXiv:2305.08891, Section 3.4)."""
    return lambda yes, no, x, sigma: rescaled_velocity(yes, no, x, sigma, scale=scale, multiplier=multiplier)


def perpendicular_negative(
    positive: Tensor, negative: Tensor, empty: Tensor, *, scale: float, negative_scale: float = 1.0
) -> Tensor:
    """Perp-Neg (arXiv:2304.04968): only what the negative prompt says besides the positive one is taken away."""
    wanted, unwanted = positive - empty, negative - empty
    return empty + scale * (wanted - negative_scale * (unwanted - along(unwanted, wanted)))


def zero_star(scale: float) -> Blend:
    """CFG-Zero* (arXiv:2503.18886): the negative noise is first scaled to fit the positive one best."""

    def combine(yes: Tensor, no: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        # In terms of x − denoised, which noise, velocity and flow predictions are multiples of.
        fitted = along(x - yes, x - no)
        return x - blend(x - yes, fitted, scale)

    return combine


def tangential(scale: float) -> Blend:
    """TCFG (arXiv:2503.18137): of the negative noise, what lies outside the main direction of both is dropped."""

    def combine(yes: Tensor, no: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        pair = torch.stack([(x - yes).flatten(1), (x - no).flatten(1)], dim=1).float()
        main = _right_vectors(pair)[:, :1]
        kept = (pair[:, 1:] @ main.transpose(1, 2)) @ main
        return blend(yes, x - kept.reshape(x.shape).to(x.dtype), scale)

    return combine


class AdaptiveProjected:
    """APG (arXiv:2410.02416): guidance without the part along the positive answer that oversaturates.

    eta weighs that part; norm_threshold bounds the guidance (0: no bound); momentum below 0 damps what steps share.
    One object serves one run: it remembers the last step, and forgets when the noise level rises.
    """

    def __init__(self, scale: float, *, eta: float = 1.0, norm_threshold: float = 5.0, momentum: float = 0.0):
        self._scale, self._eta = scale, eta
        self._threshold, self._momentum = norm_threshold, momentum
        self._average: Tensor | None = None
        self._level = 0.0

    def __call__(self, yes: Tensor, no: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        guidance = yes - no
        if self._momentum != 0:
            if self._average is not None and float(sigma) < self._level and self._average.shape == guidance.shape:
                guidance = guidance + self._momentum * self._average
            self._average, self._level = guidance, float(sigma)
        if self._threshold > 0:
            norm = _inner(guidance, guidance).sqrt()
            guidance = guidance * (self._threshold / norm.clamp(min=1e-12)).clamp(max=1)
        parallel = along(guidance, yes)
        return yes + (self._scale - 1) * (guidance - parallel + self._eta * parallel)

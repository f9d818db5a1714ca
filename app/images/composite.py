"""One picture, or latent, on another.

B items, C channels, H × W pixels, channels second: (B, C, H, W)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from app.errors import InvalidRequest
from app.images.masks import as_batch, feather, repeated
from app.images.resize import resize

Blend = Callable[[Tensor, Tensor], Tensor]


def paste(
    destination: Tensor, source: Tensor, x: int, y: int, *, mask: Tensor | None = None, resize_source: bool = False
) -> Tensor:
    """`destination` with `source` on it at (x, y), where `mask` is 1; what lies outside is cut.

    The mask has any size and is stretched over the source; `resize_source` first stretches the source over all.
    """
    source = source.to(destination)
    if resize_source:
        source = functional.interpolate(source, size=destination.shape[-2:], mode="bilinear")
    source = repeated(source, len(destination))
    weight = torch.ones_like(source[:, :1])
    if mask is not None:
        stretched = functional.interpolate(as_batch(mask)[:, None].to(source), size=source.shape[-2:], mode="bilinear")
        weight = repeated(stretched, len(destination))
    result = destination.clone()
    part = result[..., max(y, 0) : max(y + source.shape[-2], 0), max(x, 0) : max(x + source.shape[-1], 0)]
    rows, columns = slice(max(-y, 0), max(-y, 0) + part.shape[-2]), slice(max(-x, 0), max(-x, 0) + part.shape[-1])
    weight, source = weight[..., rows, columns], source[..., rows, columns]
    part[:] = source * weight + part * (1 - weight)
    return result


def paste_feathered(destination: Tensor, source: Tensor, x: int, y: int, fade: int) -> Tensor:
    """`source` on `destination` at (x, y), fading in over `fade` pixels at those edges that lie inside."""
    height, width = destination.shape[-2:]
    source = source[..., : max(0, height - y), : max(0, width - x)]
    if 0 in source.shape:
        return destination.clone()
    inner = (x > 0, y > 0, x + source.shape[-1] < width, y + source.shape[-2] < height)
    left, top, right, bottom = (fade if inside else 0 for inside in inner)
    mask = feather(torch.ones(source.shape[-2:]), left, top, right, bottom)
    return paste(destination, source, x, y, mask=mask)


def blend(first: Tensor, second: Tensor, part: float, mode: str) -> Tensor:
    """(B, …) in 0..1: `first` towards the blend of both by `part`, clamped.

    Raises:
        InvalidRequest: an unknown mode.
    """
    if mode not in BLENDS:
        raise InvalidRequest(f"Blending by {mode!r} is not known.", remedy=f"Use {', '.join(BLENDS)}.")
    return (first * (1 - part) + BLENDS[mode](first, second) * part).clamp(0, 1)


def _soft_light(a: Tensor, b: Tensor) -> Tensor:
    """The W3C compositing formula (Compositing and Blending Level 1, section 10.1.9)."""
    d = torch.where(a <= 0.25, ((16 * a - 12) * a + 4) * a, a.clamp(min=0).sqrt())
    return torch.where(b <= 0.5, a - (1 - 2 * b) * a * (1 - a), a + (2 * b - 1) * (d - a))


BLENDS: Mapping[str, Blend] = {
    "normal": lambda a, b: b,
    "multiply": torch.mul,
    "screen": lambda a, b: 1 - (1 - a) * (1 - b),
    "overlay": lambda a, b: torch.where(a <= 0.5, 2 * a * b, 1 - 2 * (1 - a) * (1 - b)),
    "soft_light": _soft_light,
    "difference": lambda a, b: (a - b).abs(),
}


def porter_duff(
    source: Tensor, source_alpha: Tensor, destination: Tensor, destination_alpha: Tensor, mode: str
) -> tuple[Tensor, Tensor]:
    """(colour, alpha) of Porter & Duff 1984's operators and Android's further modes, by name.

    Colours are premultiplied, (B, H, W, C); alphas (B, H, W, 1), 1 for opaque.

    Raises:
        InvalidRequest: an unknown mode.
    """
    if mode not in PORTER_DUFF:
        raise InvalidRequest(f"{mode!r} is no way to compose.", remedy=f"Use {', '.join(PORTER_DUFF)}.")
    colour, alpha = PORTER_DUFF[mode](source, source_alpha, destination, destination_alpha)
    return colour.clamp(0, 1), alpha.clamp(0, 1)


Operator = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def _weighted(of_source: Callable[[Tensor], Tensor], of_destination: Callable[[Tensor], Tensor]) -> Operator:
    """Colour and alpha weighted alike: the source by the destination's alpha, the destination by the source's."""

    def operate(s: Tensor, sa: Tensor, d: Tensor, da: Tensor) -> tuple[Tensor, Tensor]:
        fs, fd = of_source(da), of_destination(sa)
        return s * fs + d * fd, sa * fs + da * fd

    return operate


def _mixed(of: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Operator:
    """Colour by a formula where both are, as each alone where only one is; alpha of the union."""

    def operate(s: Tensor, sa: Tensor, d: Tensor, da: Tensor) -> tuple[Tensor, Tensor]:
        return s * (1 - da) + d * (1 - sa) + of(s, sa, d, da), sa + da - sa * da

    return operate


def _overlay(s: Tensor, sa: Tensor, d: Tensor, da: Tensor) -> Tensor:
    return torch.where(2 * d < da, 2 * s * d, sa * da - 2 * (da - d) * (sa - s))


_NONE, _ALL = torch.zeros_like, torch.ones_like
PORTER_DUFF: Mapping[str, Operator] = {
    "ADD": lambda s, sa, d, da: (s + d, sa + da),
    "CLEAR": _weighted(_NONE, _NONE),
    "DARKEN": _mixed(lambda s, sa, d, da: torch.minimum(s * da, d * sa)),
    "DST": _weighted(_NONE, _ALL),
    "DST_ATOP": _weighted(lambda da: 1 - da, lambda sa: sa),
    "DST_IN": _weighted(_NONE, lambda sa: sa),
    "DST_OUT": _weighted(_NONE, lambda sa: 1 - sa),
    "DST_OVER": _weighted(lambda da: 1 - da, _ALL),
    "LIGHTEN": _mixed(lambda s, sa, d, da: torch.maximum(s * da, d * sa)),
    "MULTIPLY": lambda s, sa, d, da: (s * d, sa * da),
    "OVERLAY": _mixed(_overlay),
    "SCREEN": lambda s, sa, d, da: (s + d - s * d, sa + da - sa * da),
    "SRC": _weighted(_ALL, _NONE),
    "SRC_ATOP": _weighted(lambda da: da, lambda sa: 1 - sa),
    "SRC_IN": _weighted(lambda da: da, _NONE),
    "SRC_OUT": _weighted(lambda da: 1 - da, _NONE),
    "SRC_OVER": _weighted(_ALL, lambda sa: 1 - sa),
    "XOR": _weighted(lambda da: 1 - da, lambda sa: 1 - sa),
}


def pad_for_outpaint(image: Tensor, left: int, top: int, right: int, bottom: int, fade: int) -> tuple[Tensor, Tensor]:
    """(image, mask): (B, H, W, C) on a larger grey canvas, and 1 where it is new; fades over `fade` inner pixels."""
    padded = functional.pad(image.movedim(-1, 1), (left, right, top, bottom), value=0.5).movedim(1, -1)
    height, width = image.shape[1:3]
    distance = torch.full((height, width), float("inf"))
    rows, columns = torch.arange(height)[:, None].float(), torch.arange(width)[None].float()
    edges = ((left, columns), (right, width - columns), (top, rows), (bottom, height - rows))
    for added, far in edges:
        if added:
            distance = torch.minimum(distance, far.expand(height, width))
    mask = torch.ones(padded.shape[1:3])
    inside = (1 - distance / fade).clamp(min=0) ** 2 if 0 < fade * 2 < min(height, width) else distance * 0
    mask[top : top + height, left : left + width] = torch.nan_to_num(inside, nan=0.0)
    return padded, mask[None]


def same_size(image: Tensor, like: Tensor) -> Tensor:
    """(B, H, W, C) in the size and channels of `like`, in the middle part where the proportions differ."""
    channels = min(image.shape[-1], like.shape[-1])
    fitted = resize(image.movedim(-1, 1), like.shape[2], like.shape[1], "bilinear", crop=True).movedim(1, -1)
    if like.shape[-1] > channels:
        return functional.pad(fitted, (0, like.shape[-1] - channels), value=1.0)
    return fitted[..., :channels]

"""Guidance away from a worse version of the model itself: perturbed attention, left-out layers, a blurred picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn import functional

from app.diffusion.guidance.hooks import Answers, NetworkAt
from app.diffusion.models.hooks import Attend, Looking, NetworkHooks, Place

After = Callable[[Tensor, Answers], Tensor]
MIDDLE = Place("middle", 0)


def perturbed_attention(scale: float) -> After:
    """PAG (arXiv:2403.17377): away from an answer whose middle block looks at every place by itself alone."""
    blind = NetworkHooks(attend=(_itself_alone,)).row_by_row()

    def after(guided: Tensor, found: Answers) -> Tensor:
        if scale == 0:
            return guided
        return guided + scale * (found.positive - found.ask("positive", found.x, blind))

    return after


def _itself_alone(looking: Looking, usual: Attend) -> Attend:
    return (lambda q, k, v: v) if looking.name == "attn1" and looking.place == MIDDLE else usual


def without_blocks(places: Iterable[Place]) -> NetworkHooks:
    """A network without some of its transformer blocks."""
    return NetworkHooks(left_out=frozenset(places))


def within(hooks: NetworkHooks, start: float, end: float) -> NetworkAt:
    """The hooks at levels from `start` down to `end`, nothing elsewhere."""
    return lambda sigma: hooks if end <= sigma <= start else NetworkHooks()


def skip_layers(places: Iterable[Place], scale: float, *, start: float, end: float, rescaling: float = 0.0) -> After:
    """Away from an answer without some blocks, at levels from `start` down to `end` (Stable Diffusion 3.5's guidance).

    `rescaling` mixes in the positive answer's standard deviation.
    """
    blind = without_blocks(places)

    def after(guided: Tensor, found: Answers) -> Tensor:
        if scale <= 0 or not end <= float(found.sigma) <= start:
            return guided
        guided = guided + scale * (found.positive - found.ask("positive", found.x, blind))
        if rescaling:
            guided = guided * (rescaling * found.positive.std() / guided.std() + (1 - rescaling))
        return guided

    return after


def self_attention_guidance(scale: float, blur: float) -> After:
    """SAG (arXiv:2210.00939): away from what the model makes of a picture blurred where it looks most.

    The attention is that of the middle block, of the negative side; `blur` is the deviation in latent pixels.
    """

    def after(guided: Tensor, found: Answers) -> Tensor:
        weights: list[Tensor] = []
        found.ask("negative", found.x, NetworkHooks(attend=(_recorder(weights),)))
        if not weights:
            return guided
        degraded = _blurred_where_looked_at(found.negative, weights[0], blur)
        worse = found.ask("negative", degraded + found.x - found.negative)
        return guided + scale * (degraded - worse)

    return after


def _recorder(weights: list[Tensor]) -> Callable[[Looking, Attend], Attend]:
    """Notes how much each place of the middle block is looked at, (B, P)."""

    def hook(looking: Looking, usual: Attend) -> Attend:
        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            queries, keys = (torch.unflatten(part, -1, (looking.heads, -1)).transpose(1, 2).float() for part in (q, k))
            scores = queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])
            weights.append(scores.softmax(-1).mean(1).sum(1))
            return usual(q, k, v)

        return attend if looking.name == "attn1" and looking.place == MIDDLE and not weights else usual

    return hook


# A place that is looked at more than evenly counts.
EVEN = 1.0
BLUR_SIZE = 9


def _blurred_where_looked_at(picture: Tensor, weights: Tensor, blur: float) -> Tensor:
    height, width = picture.shape[-2:]
    rows, columns = grid_of(weights.shape[1], height, width)
    mask = (weights > EVEN).to(picture).reshape(-1, 1, rows, columns)
    mask = functional.interpolate(mask, size=(height, width), mode="nearest")
    return blurred(picture, BLUR_SIZE, blur) * mask + picture * (1 - mask)


def grid_of(places: int, height: int, width: int) -> tuple[int, int]:
    """The rows and columns of a feature map of so many places, made from height × width by halving, rounded up."""
    rows, columns = height, width
    while rows * columns > places and (rows > 1 or columns > 1):
        rows, columns = math.ceil(rows / 2), math.ceil(columns / 2)
    return rows, columns


def gaussian(size: int, deviation: float) -> Tensor:
    """A Gaussian's weights (size,), summing to 1; an impulse for a deviation of 0."""
    places = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    if deviation <= 0:
        return (places == 0).float()
    weights = torch.exp(-(places**2) / (2 * deviation**2))
    return weights / weights.sum()


def blurred(picture: Tensor, size: int, deviation: float) -> Tensor:
    """(B, C, h, w) under a Gaussian of `size` × `size`, mirrored at the border where the picture is large enough."""
    weights = gaussian(size, deviation).to(picture)
    channels, pad = picture.shape[1], size // 2
    mode = "reflect" if min(picture.shape[-2:]) > pad else "replicate"
    padded = functional.pad(picture, (pad, pad, pad, pad), mode=mode)
    for axes in ((1, 1, size, 1), (1, 1, 1, size)):
        kernel = weights.reshape(axes).expand(channels, 1, *axes[2:])
        padded = functional.conv2d(padded, kernel, groups=channels)
    return padded

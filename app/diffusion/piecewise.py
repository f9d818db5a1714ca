"""A first stage computed piece by piece, with the same result as at once.

Tiles that know nothing of each other normalise each by its own mean and deviation, and the seams show. Here each layer
runs over all pieces before the next one begins: maps between layers lie in main memory, normalisations take the mean
and deviation of the whole map, and convolutions see the pixel around a piece that they need. Only one piece at a time
is on the network's device.

B items, C channels, H × W places of a map, G groups; `side` is that of a piece in places of the map at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.models.autoencoder_kl import AutoencoderKL, Level, Posterior, ResnetBlock
from app.diffusion.models.autoencoder_vq import AutoencoderVQ
from app.diffusion.models.convolution import ordered

FirstStageNetwork = AutoencoderKL | AutoencoderVQ
Work = Callable[[Tensor], Tensor]


class Piece(NamedTuple):
    """A rectangle of a map."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, value: Tensor) -> Tensor:
        """The part of (..., H, W) inside."""
        return value[..., self.top : self.bottom, self.left : self.right]

    def scaled(self, factor: int) -> Piece:
        """The same in a map `factor` times as large."""
        return Piece(*(edge * factor for edge in self))

    def around(self, value: Tensor) -> tuple[Tensor, Piece]:
        """The part of (..., H, W) with the places next to it, as far as there are any; and where it lies in that."""
        top, left = max(self.top - 1, 0), max(self.left - 1, 0)
        wider = Piece(top, min(self.bottom + 1, value.shape[-2]), left, min(self.right + 1, value.shape[-1]))
        return wider.of(value), Piece(self.top - top, self.bottom - top, self.left - left, self.right - left)


def pieces(height: int, width: int, side: int) -> Iterator[Piece]:
    """Pieces of at most `side` × `side` that cover a map, do not overlap and are about equally large."""
    rows, columns = (-(-length // -(-length // side)) for length in (height, width))
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            yield Piece(top, min(top + rows, height), left, min(left + columns, width))


def _moments(part: Tensor) -> tuple[Tensor, Tensor]:
    """(variance, mean) of each channel, (B, C) in float64 in main memory."""
    variance, mean = torch.var_mean(part.float(), dim=(2, 3), correction=0)
    return variance.double().cpu(), mean.double().cpu()


class Walk:
    """Layers over pieces of maps that are kept in main memory."""

    def __init__(self, like: Tensor, narrowest: int):
        self._device, self._dtype, self._narrowest = like.device, like.dtype, narrowest

    def empty(self, like: Tensor, channels: int, height: int, width: int) -> Tensor:
        """A map that is to be filled, in the order in which the network is fastest."""
        return ordered(torch.empty(len(like), channels, height, width, dtype=self._dtype), self._narrowest)

    def whole(self, layer: Work, value: Tensor) -> Tensor:
        """A layer on a map at once, where maps are small."""
        return layer(ordered(value.to(self._device), self._narrowest)).cpu()

    def convolved(self, layer: Work, value: Tensor, channels: int, side: int, factor: int = 1) -> Tensor:
        """A layer that sees the places next to each, and gives `factor` times as many along a side."""
        height, width = value.shape[-2:]
        result = self.empty(value, channels, height * factor, width * factor)
        for piece in pieces(height, width, side):
            wider, inner = piece.around(value)
            done = layer(wider.to(self._device))
            piece.scaled(factor).of(result).copy_(inner.scaled(factor).of(done))
        return result

    def normalised(self, norm: nn.GroupNorm, value: Tensor, side: int) -> Work:
        """The normalisation of the whole map, followed by SiLU, for pieces of it."""
        height, width = value.shape[-2:]
        means = torch.zeros(value.shape[:2], dtype=torch.float64)  # (B, C)
        squares = torch.zeros_like(means)
        for piece in pieces(height, width, side):
            part = piece.of(value)
            share = part.shape[-2] * part.shape[-1] / (height * width)
            variance, mean = _moments(part.to(self._device))
            means += share * mean
            squares += share * (variance + mean**2)
        each = value.shape[1] // norm.num_groups
        grouped = [found.view(len(value), -1, each).mean(2) for found in (means, squares)]  # (B, G)
        mean, square = (found.repeat_interleave(each, 1) for found in grouped)
        variance = (square - mean**2).clamp(min=0)
        given = mean.to(self._device, torch.float32), variance.to(self._device, torch.float32)
        weight, bias = (parameter.detach().float() for parameter in (norm.weight, norm.bias))

        def activated(part: Tensor) -> Tensor:
            # Means and variances that are given are what batch normalisation has at work, in one pass over a map.
            done = [
                F.batch_norm(one[None], mean, variance, weight, bias, False, 0.0, norm.eps)
                for one, mean, variance in zip(part, *given, strict=True)
            ]
            return F.silu(torch.cat(done) if len(done) > 1 else done[0], inplace=True)

        return activated

    def block(self, block: ResnetBlock, value: Tensor, side: int) -> Tensor:
        """A residual block; the result takes the place of what goes in, where it has no more channels."""
        first, second = block.conv1, block.conv2
        activated = self.normalised(block.norm1, value, side)
        inner = self.convolved(lambda part: first(activated(part)), value, first.out_channels, side)
        activated_again = self.normalised(block.norm2, inner, side)
        height, width = value.shape[-2:]
        grows = second.out_channels > value.shape[1]
        result = self.empty(value, second.out_channels, height, width) if grows else value[:, : second.out_channels]
        for piece in pieces(height, width, side):
            wider, place = piece.around(inner)
            added = place.of(second(activated_again(wider.to(self._device))))
            kept = block.nin_shortcut(piece.of(value).to(self._device))
            piece.of(result).copy_(kept + added)
        return result

    def blocks(self, level: Level, value: Tensor, side: int) -> Tensor:
        """The residual blocks of a level, each with the attention after it; only small maps have one."""
        if max(value.shape[-2:]) <= side:
            return self.whole(level.residual, value)
        for index, block in enumerate(level.block):
            value = self.block(cast("ResnetBlock", block), value, side)
            if level.attn:
                value = self.whole(level.attn[index], value)
        return value

    def halved(self, conv: nn.Conv2d, value: Tensor, side: int) -> Tensor:
        """The convolution with steps of two that looks right and down."""
        height, width = value.shape[-2] // 2, value.shape[-1] // 2
        result = self.empty(value, conv.out_channels, height, width)
        for piece in pieces(height, width, max(side // 2, 1)):
            top, bottom, left, right = piece.scaled(2)
            seen = value[..., top : bottom + 1, left : right + 1].to(self._device)
            seen = F.pad(seen, (0, right - left + 1 - seen.shape[-1], 0, bottom - top + 1 - seen.shape[-2]))
            piece.of(result).copy_(conv(seen))
        return result


def decoded(model: FirstStageNetwork, latent: Tensor, side: int) -> Tensor:
    """As `model.decode`, in pieces that give at most `side` × `side` pixels; (B, 3, H, W) in main memory."""
    decoder = model.decoder
    walk = Walk(latent, decoder.conv_out.in_channels)
    quantised = model.quantize(latent) if isinstance(model, AutoencoderVQ) else latent
    value = walk.whole(lambda z: decoder.mid(decoder.conv_in(model.post_quant_conv(z))), quantised)
    for stage in reversed(decoder.up):
        level = cast("Level", stage)
        value = walk.blocks(level, value, side)
        if level.upsample is not None:
            value = walk.convolved(level.upsample, value, value.shape[1], max(side // 2, 1), factor=2)
    activated = walk.normalised(decoder.norm_out, value, side)
    return walk.convolved(lambda part: decoder.conv_out(activated(part)), value, decoder.conv_out.out_channels, side)


def encoded(model: FirstStageNetwork, image: Tensor, side: int) -> Tensor:
    """As `model.encode`, the mean where there is a posterior, in pieces of `side` × `side` pixels; in main memory."""
    encoder = model.encoder
    walk = Walk(image, encoder.conv_in.out_channels)
    value = walk.convolved(encoder.conv_in, image.cpu(), encoder.conv_in.out_channels, side)
    for stage in encoder.down:
        level = cast("Level", stage)
        value = walk.blocks(level, value, side)
        if level.downsample is not None:
            value = walk.halved(level.downsample.conv, value, side)
    last = walk.whole(
        lambda x: model.quant_conv(encoder.conv_out(F.silu(encoder.norm_out(encoder.mid(x))))),
        value,
    )
    return last if isinstance(model, AutoencoderVQ) else Posterior.from_moments(last).mean

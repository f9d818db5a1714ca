"""The denoising U-Net of latent diffusion (arXiv:2112.10752), with the CompVis checkpoints' module names.

B batch, C channels, H × W latent pixels, T context tokens, D context width
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.kernels.lanes import cores_for, is_small, side_by_side
from app.diffusion.models.attention import PixelAttention, SpatialTransformer, repeated
from app.diffusion.models.convolution import Conv1x1, Conv3x3, GroupNorm, doubled, ordered
from app.diffusion.models.hooks import BlockHooks, Halves, NetworkHooks
from app.diffusion.models.linear import Linear, joined
from app.diffusion.models.memo import made_of
from app.diffusion.models.recording import Repeated, can_repeat
from app.diffusion.models.second_form import added, is_watched

# Latent pixels from which on two halves of a batch run side by side. With fewer the time goes into reading weights,
# which each half reads for itself.
PIXELS_WORTH_LANES = 2048


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """The shape of a U-Net.

    `transformer_depth` has one entry per resolution level, 0 for none; `output_depth`, where given, one per block of
    the way up, in the order in which they run. `transformer_depth_middle` −1 stands for a single residual block in
    the middle, −2 for no middle. Give `heads` for a fixed number of heads or `head_width` for a fixed width per head.
    `pixel_attention` has self-attention alone where there would be a transformer; at levels of `cross_only` the
    transformers have none. `vector_width` is the width of the vector condition (pooled text and sizes, an image's
    embedding), 0 for none; `classes` the number of labels instead of a vector. `scale_shift` lets the time scale the
    features as well as shift them; `residual_resampling` halves and doubles inside residual blocks.
    `position_waves` > 0 adds a learned projection of 2-D sinusoids of the pixel's place on the canvas, in −1..1
    whatever the size, to the first feature map.
    """

    in_channels: int = 4
    out_channels: int = 4
    model_channels: int = 320
    channel_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    transformer_depth: tuple[int, ...] = (1, 1, 1, 0)
    transformer_depth_middle: int = 1
    heads: int | None = 8
    head_width: int | None = None
    context_width: int | None = 768
    linear_projection: bool = False
    vector_width: int = 0
    position_waves: int = 0
    groups: int = 32
    output_depth: tuple[int, ...] = ()
    cross_only: tuple[bool, ...] = ()
    pixel_attention: bool = False
    classes: int = 0
    scale_shift: bool = False
    residual_resampling: bool = False

    def heads_of(self, width: int) -> tuple[int, int]:
        """Number of heads and width per head for a feature map of that width."""
        if self.head_width is not None:
            return width // self.head_width, self.head_width
        heads = self.heads or 1
        return heads, width // heads


def timestep_embedding(timesteps: Tensor, width: int, max_period: float = 10_000.0) -> Tensor:
    """Cosines then sines of the timesteps at `width`/2 frequencies from 1 to 1/max_period: (B,) → (B, width)."""
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=timesteps.device)
    angles = timesteps[:, None].float() * torch.exp(-math.log(max_period) * steps / half)[None]
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def position_waves(height: int, width: int, waves: int, like: Tensor) -> Tensor:
    """Sines and cosines of each pixel's place on the canvas, at frequencies ½, 1, 2 …: (1, 4·waves, height, width)."""
    rows = (torch.arange(height, device=like.device) + 0.5) / height * 2 - 1
    columns = (torch.arange(width, device=like.device) + 0.5) / width * 2 - 1
    place = torch.stack([rows[:, None].expand(height, width), columns[None].expand(height, width)])  # (2, H, W)
    frequencies = math.pi * 2.0 ** torch.arange(-1, waves - 1, device=like.device)
    angles = (place[None] * frequencies[:, None, None, None]).flatten(0, 1)  # (2·waves, H, W)
    return torch.cat([angles.sin(), angles.cos()])[None].to(like.dtype)


class ResBlock(nn.Module):
    """Two convolutions around the time embedding, added to the input.

    `resample` is "down" for a block that halves height and width, "up" for one that reaches a given size.
    """

    def __init__(
        self, width: int, emb_width: int, out: int, groups: int, *, scale_shift: bool = False, resample: str = ""
    ) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        self.resample = resample
        self.told_from = 0  # see `told`
        self.in_layers = nn.Sequential(GroupNorm(groups, width), nn.SiLU(inplace=True), Conv3x3(width, out))
        self.emb_layers = nn.Sequential(nn.SiLU(), Linear(emb_width, 2 * out if scale_shift else out))
        self.out_layers = nn.Sequential(GroupNorm(groups, out), nn.SiLU(inplace=True), nn.Identity(), Conv3x3(out, out))
        self.skip_connection = Conv1x1(width, out) if width != out else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor, size: torch.Size | None = None) -> Tensor:  # (B, C, H, W), (B, E)
        time = self.told(emb[: x.shape[0]])[:, :, None, None]
        if self.scale_shift:
            scale, shift = time.chunk(2, dim=1)
            h = self.out_layers[0](self._entered(x, size)) * (1 + scale) + shift
            return added(self.skip_connection, self._resampled(x, size), self.out_layers[1:](h))
        h = self._entered(x, size, time)
        x = self._resampled(x, size)
        skip, last = self.skip_connection, self.out_layers
        if not isinstance(skip, nn.Identity) or is_watched(vars(skip)) or is_watched(vars(last)):
            return added(skip, x, last(h))
        norm, activation, dropout, convolution = last
        return added(convolution, dropout(activation(norm(h))), x)

    def _entered(self, x: Tensor, size: torch.Size | None, shift: Tensor | None = None) -> Tensor:
        """What the first layers make of the input, shifted (B, O, 1, 1): one for all images is part of a bias."""
        if is_watched(vars(self.in_layers)) and not self.resample:
            h = self.in_layers(x)
            return h if shift is None else h + shift
        norm, activation, convolution = self.in_layers
        h = self._resampled(activation(norm(x)), size)
        if shift is None:
            return convolution(h)
        if len(shift) > 1 or torch.is_grad_enabled() or type(convolution) is not Conv3x3:
            return convolution(h) + shift
        return convolution(h) + shift if is_watched(vars(convolution)) else convolution.shifted(h, shift.flatten())

    def told(self, emb: Tensor) -> Tensor:
        """What the time tells this block: (B, E), or (B, S) of what it tells all blocks, → (B, O)."""
        layer = cast("nn.Linear", self.emb_layers[1])
        if emb.shape[1] == layer.in_features:
            return self.emb_layers(emb)
        return emb[:, self.told_from : self.told_from + layer.out_features]

    def _resampled(self, x: Tensor, size: torch.Size | None) -> Tensor:
        if not self.resample:
            return x
        if self.resample == "down":
            return F.avg_pool2d(x, 2, ceil_mode=True)  # an odd last row counts, as it does for strided convolutions
        return F.interpolate(x, size=size, mode="nearest")


class Downsample(nn.Module):
    """Halves height and width with a strided convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = Conv3x3(width, width, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Upsample(nn.Module):
    """Repeats pixels up to a given height and width, then convolves."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = Conv3x3(width, width)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        if tuple(size) == (2 * x.shape[2], 2 * x.shape[3]):
            return doubled(self.conv, x)
        return self.conv(F.interpolate(x, size=size, mode="nearest"))


class Stage(nn.Sequential):
    """Layers that run one after the other, each given what it takes of embedding, context and size."""

    def run(
        self,
        x: Tensor,
        emb: Tensor,
        context: Tensor | None,
        size: torch.Size | None = None,
        hooks: BlockHooks | None = None,
        tokens: Tensor | None = None,
    ) -> Tensor:
        """Apply the layers; `size` is the height and width that going up must reach.

        With `tokens`, what `begin` made of x, go on from there.
        """
        for layer in self:
            if tokens is not None and not isinstance(layer, SpatialTransformer):
                continue
            if isinstance(layer, ResBlock):
                x = layer(x, emb, size)
            elif isinstance(layer, SpatialTransformer):
                x, tokens = layer.end(x, layer.begin(x, hooks) if tokens is None else tokens, context, hooks), None
            elif isinstance(layer, Upsample):
                x = layer(x, size)
            else:
                x = layer(x)
        return x

    @property
    def has_transformer(self) -> bool:
        """Whether a layer looks at the context."""
        return any(isinstance(layer, SpatialTransformer) for layer in self)

    def begin(self, x: Tensor, emb: Tensor, hooks: BlockHooks | None = None) -> tuple[Tensor, Tensor | None]:
        """The layers until the context is needed: the features there and the tokens made of them, if it ever is."""
        for layer in self:
            if isinstance(layer, SpatialTransformer):
                return x, layer.begin(x, hooks)
            x = layer(x, emb) if isinstance(layer, ResBlock) else layer(x)
        return x, None


@dataclass(frozen=True, slots=True)
class Start:
    """Where on its way down a U-Net goes on: before stage `index`, or inside it where there are `tokens`."""

    x: Tensor
    skips: tuple[Tensor, ...] = ()
    index: int = 0
    tokens: Tensor | None = None


class UNet(nn.Module):
    """Predicts noise, velocity or flow of a noisy latent, given a timestep and a text context.

    Any height and width are taken; where a level does not halve evenly the way back up restores the odd size.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        width, emb_width = config.model_channels, config.model_channels * 4
        self.time_embed = _two_layers(width, emb_width)
        if config.vector_width:
            self.label_emb = nn.Sequential(_two_layers(config.vector_width, emb_width))
        elif config.classes:
            self.label_emb = nn.Embedding(config.classes, emb_width)
        if config.position_waves:
            self.position_embed = nn.Conv2d(4 * config.position_waves, width, 1)
        widths = self._build_input()
        self._build_middle()
        self._build_output(widths)
        self.out = nn.Sequential(GroupNorm(config.groups, width), nn.SiLU(), Conv3x3(width, config.out_channels))
        for before, block in zip(accumulate(map(_told_width, self._blocks()), initial=0), self._blocks(), strict=False):
            block.told_from = before

    def _blocks(self) -> list[ResBlock]:
        return [module for module in self.modules() if isinstance(module, ResBlock)]

    def _block(self, width: int, out: int, resample: str = "") -> ResBlock:
        config = self.config
        emb_width = config.model_channels * 4
        return ResBlock(width, emb_width, out, config.groups, scale_shift=config.scale_shift, resample=resample)

    def _attention(self, width: int, depth: int, cross_only: bool = False) -> list[nn.Module]:
        """The attention after a residual block, if there is any."""
        config = self.config
        heads, head_width = config.heads_of(width)
        if not depth:
            return []
        if config.pixel_attention:
            return [PixelAttention(width, heads, config.groups)]
        return [
            SpatialTransformer(
                width,
                heads,
                head_width,
                depth,
                config.context_width,
                linear=config.linear_projection,
                groups=config.groups,
                cross_only=cross_only,
            )
        ]

    def _cross_only(self, level: int) -> bool:
        return bool(self.config.cross_only) and self.config.cross_only[level]

    def _build_input(self) -> list[int]:
        """The way down; returns the width of each skip connection."""
        config = self.config
        width = config.model_channels
        self.input_blocks = nn.ModuleList([Stage(Conv3x3(config.in_channels, width))])
        widths = [width]
        for level, factor in enumerate(config.channel_mult):
            out = config.model_channels * factor
            for _ in range(config.num_res_blocks):
                attention = self._attention(out, config.transformer_depth[level], self._cross_only(level))
                self.input_blocks.append(Stage(self._block(width, out), *attention))
                widths.append(width := out)
            if level < len(config.channel_mult) - 1:
                down = self._block(width, width, "down") if config.residual_resampling else Downsample(width)
                self.input_blocks.append(Stage(down))
                widths.append(width)
        return widths

    def _build_middle(self) -> None:
        config = self.config
        width, depth = config.model_channels * config.channel_mult[-1], config.transformer_depth_middle
        if depth < -1:
            return
        layers: list[nn.Module] = [self._block(width, width)]
        if depth >= 0:
            layers += [*self._attention(width, depth), self._block(width, width)]
        self.middle_block = Stage(*layers)

    def _build_output(self, widths: list[int]) -> None:
        config = self.config
        self.output_blocks = nn.ModuleList()
        width = widths[-1]
        for level, factor in reversed(list(enumerate(config.channel_mult))):
            out = config.model_channels * factor
            for block in range(config.num_res_blocks + 1):
                depths = config.output_depth
                depth = depths[len(self.output_blocks)] if depths else config.transformer_depth[level]
                layers = [self._block(width + widths.pop(), out), *self._attention(out, depth, self._cross_only(level))]
                if level and block == config.num_res_blocks:
                    layers.append(self._block(out, out, "up") if config.residual_resampling else Upsample(out))
                self.output_blocks.append(Stage(*layers))
                width = out

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor | None = None,
        vector: Tensor | None = None,
        *,
        classes: Tensor | None = None,
        concat: Tensor | None = None,
        hooks: NetworkHooks | None = None,
    ) -> Tensor:
        """(B, C, H, W), (B,), (B, T, D), (B, V) → (B, C', H, W); timesteps in the units the model was trained with.

        `classes` (B,) are labels; `concat` (B, E, H, W) are further input channels, of which C + E are expected;
        `hooks` are called as the features pass.
        """
        x = x if concat is None else torch.cat([x, concat], dim=1)

        work = x[:, 0].numel() * self.config.model_channels**2
        small = is_small(work, x.device) and not torch.is_grad_enabled()

        def compute(x: Tensor, timesteps: Tensor, vector: Tensor | None, classes: Tensor | None) -> Tensor:
            emb = self._embedding(x, timesteps, vector, classes)
            return self._predict(x, self._told(emb) if small else emb, context, hooks)

        with cores_for(work, x.device):
            if small and hooks is None and context is not None and can_repeat(x):
                calls = made_of(self, context, (), Repeated)
                return calls.call(self, compute, (x, timesteps, vector, classes))
            return compute(x, timesteps, vector, classes)

    def _embedding(self, x: Tensor, timesteps: Tensor, vector: Tensor | None, classes: Tensor | None) -> Tensor:
        waves = timestep_embedding(timesteps, self.config.model_channels).to(x.dtype)
        emb = self.time_embed(waves)
        if self.config.vector_width:
            emb = emb + self.label_emb(vector)
        elif self.config.classes:
            emb = emb + self.label_emb(classes)
        return emb

    def _told(self, emb: Tensor) -> Tensor:
        """(B, E) → (B, S): what the time tells all blocks, in one product where each for itself is mostly overhead."""
        blocks = self._blocks()
        layers = [layer for block in blocks if type(layer := block.emb_layers[1]) is Linear]  # not kept in 8 bits, say
        if len(layers) < len(blocks) or sum(map(_told_width, blocks)) == emb.shape[1]:
            return emb
        weights = [value for layer in layers for value in (layer.weight, layer.bias)]
        return made_of(self, weights[0], weights[1:], lambda: joined(layers))(F.silu(emb))

    def _predict(self, x: Tensor, emb: Tensor, context: Tensor | None, hooks: NetworkHooks | None) -> Tensor:
        start, emb = Start(ordered(x, self.config.model_channels)), _of_all(emb)
        halves = (hooks or NetworkHooks()).halves(len(x)) if _in_halves(x) else None
        if halves is None:
            return self._finish(start, len(x), emb, context, hooks)
        large = torch.get_num_threads() > 1 and x.shape[2] * x.shape[3] >= PIXELS_WORTH_LANES
        by_halves = large and (context is None or context.shape[0] == x.shape[0])
        # Hooks that differ by halves have been told of the beginning by halves: so they must be of the rest.
        shares = context is not None and (by_halves or halves.are_equal)
        half = len(x) // 2
        if shares and _halves_agree(x) and (len(emb) == 1 or _halves_agree(emb)):
            start = self._begin(start.x[:half], emb[:half], halves)  # guidance: the same latent, until the first text
        if by_halves:
            return self._finish_halves(start, half, emb, context, halves)
        return self._finish(start, len(x), emb, context, hooks)

    def _begin(self, x: Tensor, emb: Tensor, halves: Halves) -> Start:
        """What neither text nor hooks make different in the two halves of a batch; x and emb are the first."""
        skips: list[Tensor] = []
        for index, stage in enumerate(_stages(self.input_blocks)):
            at = halves.at("input", index)
            entered = at.entered(x)
            if entered is None or not (at.look_alike or not stage.has_transformer):
                return Start(x, tuple(skips), index)
            features, tokens = stage.begin(entered, emb, at.first if halves.first else None)
            if tokens is not None:
                return Start(features, tuple(skips), index, tokens)
            left = at.left(self._placed(features, index))
            if left is None:
                return Start(x, tuple(skips), index)
            skips.append(x := left)
        return Start(x, tuple(skips), len(skips))

    def _finish_halves(self, start: Start, half: int, emb: Tensor, context: Tensor | None, halves: Halves) -> Tensor:
        """Both halves of a batch, of which `start` may hold the first only, as the second repeats it."""
        starts = [start] * 2 if start.x.shape[0] == half else [Start(part) for part in start.x.chunk(2)]
        times = [emb] * 2 if len(emb) == 1 else emb.chunk(2)
        contexts = (None, None) if context is None else made_of(self, context, (), lambda: _halves(context))
        works = zip(starts, (half, half), times, contexts, (hooks or None for hooks in halves), strict=True)
        return torch.cat(side_by_side([partial(self._finish, *parts) for parts in works]))

    def _finish(
        self, start: Start, images: int, emb: Tensor, context: Tensor | None, hooks: NetworkHooks | None = None
    ) -> Tensor:
        x, tokens, skips = start.x, start.tokens, list(start.skips)
        for index, stage in enumerate(_stages(self.input_blocks)):
            if index < start.index:
                continue
            at = None if hooks is None else hooks.at("input", index)
            x = _entered(at, x)[0] if tokens is None else x
            x = _left(at, self._placed(stage.run(x, emb, context, hooks=at, tokens=tokens), index))
            tokens = None
            skips.append(x)
        if self.config.transformer_depth_middle >= -1:
            at = None if hooks is None else hooks.at("middle", 0)
            x = self.middle_block.run(_entered(at, x)[0], emb, context, hooks=at)
            x = _left(at, x)
        for index, stage in enumerate(_stages(self.output_blocks)):
            at = None if hooks is None else hooks.at("output", index)
            x, skip = _entered(at, x, repeated(skips.pop(), x))
            x = x if skip is None else torch.cat([x, skip], dim=1)
            x = _left(at, stage.run(x, emb, context, skips[-1].shape[2:] if skips else None, at))
        return self.out(x if len(x) == images else torch.cat([x, x]))

    def _placed(self, x: Tensor, index: int) -> Tensor:
        """The features that leave an input stage; to the first ones their places are added, if the model knows them."""
        if index or not self.config.position_waves:
            return x
        return x + self.position_embed(position_waves(x.shape[2], x.shape[3], self.config.position_waves, x))


def _told_width(block: ResBlock) -> int:
    return cast("nn.Linear", block.emb_layers[1]).out_features


def _entered(hooks: BlockHooks | None, x: Tensor, skip: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    return (x, skip) if hooks is None else hooks.entered(x, skip)


def _left(hooks: BlockHooks | None, x: Tensor) -> Tensor:
    return x if hooks is None else hooks.left(x)


def _in_halves(x: Tensor) -> bool:
    """Whether the halves of a batch are worth a look: where it costs more than it can save they are not."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and x.shape[0] % 2 == 0


def _of_all(emb: Tensor) -> Tensor:
    """One row where all images of a batch are told the same time, as they are in a guided step; on a CPU."""
    same = emb.device.type == "cpu" and not torch.is_grad_enabled() and torch.equal(emb[1:], emb[:-1])
    return emb[:1] if same else emb


def _halves(x: Tensor) -> tuple[Tensor, Tensor]:
    first, second = x.chunk(2)
    return first.clone(), second.clone()


def _halves_agree(x: Tensor) -> bool:
    return torch.equal(*x.chunk(2))


def _two_layers(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(Linear(width, out), nn.SiLU(), Linear(out, out))


def _stages(blocks: nn.ModuleList) -> Iterable[Stage]:
    return cast("Iterable[Stage]", blocks)

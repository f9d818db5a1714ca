"""The denoising U-Net of latent diffusion (arXiv:2112.10752), with the CompVis checkpoints' module names.

B batch, C channels, H × W latent pixels, T context tokens, D context width
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.models.attention import SpatialTransformer


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """The shape of a U-Net.

    `transformer_depth` has one entry per resolution level, 0 for none. Give `heads` for a fixed number of heads or
    `head_width` for a fixed width per head. `vector_width` is the width of the vector condition (class embedding,
    pooled text and sizes), 0 for none. `position_waves` > 0 adds a learned projection of 2-D sinusoids of the pixel's
    place on the canvas, in −1..1 whatever the size, to the first feature map.
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
    """Two convolutions around the time embedding, added to the input."""

    def __init__(self, width: int, emb_width: int, out: int, groups: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(groups, width), nn.SiLU(), nn.Conv2d(width, out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb_width, out))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(groups, out), nn.SiLU(), nn.Dropout(0.0), nn.Conv2d(out, out, 3, padding=1)
        )
        self.skip_connection = nn.Conv2d(width, out, 1) if width != out else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:  # (B, C, H, W), (B, E)
        h = self.in_layers(x) + self.emb_layers(emb)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class Downsample(nn.Module):
    """Halves height and width with a strided convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Upsample(nn.Module):
    """Repeats pixels up to a given height and width, then convolves."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        return self.conv(F.interpolate(x, size=size, mode="nearest"))


class Stage(nn.Sequential):
    """Layers that run one after the other, each given what it takes of embedding, context and size."""

    def run(self, x: Tensor, emb: Tensor, context: Tensor | None, size: torch.Size | None = None) -> Tensor:
        """Apply the layers; `size` is the height and width that an `Upsample` must reach."""
        for layer in self:
            if isinstance(layer, ResBlock):
                x = layer(x, emb)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, context)
            elif isinstance(layer, Upsample):
                x = layer(x, size)
            else:
                x = layer(x)
        return x


class UNet(nn.Module):
    """Predicts noise, velocity or flow of a noisy latent, given a timestep and a text context.

    Any height and width are taken; where a level does not halve evenly the way back up restores the odd size.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        width, emb_width = config.model_channels, config.model_channels * 4
        self.time_embed = nn.Sequential(nn.Linear(width, emb_width), nn.SiLU(), nn.Linear(emb_width, emb_width))
        if config.vector_width:
            vector = nn.Sequential(
                nn.Linear(config.vector_width, emb_width), nn.SiLU(), nn.Linear(emb_width, emb_width)
            )
            self.label_emb = nn.Sequential(vector)
        if config.position_waves:
            self.position_embed = nn.Conv2d(4 * config.position_waves, width, 1)
        widths = self._build_input(emb_width)
        self._build_middle(emb_width)
        self._build_output(emb_width, widths)
        self.out = nn.Sequential(
            nn.GroupNorm(config.groups, width), nn.SiLU(), nn.Conv2d(width, config.out_channels, 3, padding=1)
        )

    def _transformer(self, width: int, depth: int) -> SpatialTransformer:
        config = self.config
        return SpatialTransformer(
            width,
            *config.heads_of(width),
            depth,
            config.context_width,
            linear=config.linear_projection,
            groups=config.groups,
        )

    def _build_input(self, emb_width: int) -> list[int]:
        """The way down; returns the width of each skip connection."""
        config = self.config
        width = config.model_channels
        self.input_blocks = nn.ModuleList([Stage(nn.Conv2d(config.in_channels, width, 3, padding=1))])
        widths = [width]
        for level, factor in enumerate(config.channel_mult):
            out = config.model_channels * factor
            for _ in range(config.num_res_blocks):
                layers: list[nn.Module] = [ResBlock(width, emb_width, out, config.groups)]
                if config.transformer_depth[level]:
                    layers.append(self._transformer(out, config.transformer_depth[level]))
                self.input_blocks.append(Stage(*layers))
                widths.append(width := out)
            if level < len(config.channel_mult) - 1:
                self.input_blocks.append(Stage(Downsample(width)))
                widths.append(width)
        return widths

    def _build_middle(self, emb_width: int) -> None:
        config = self.config
        width = config.model_channels * config.channel_mult[-1]
        layers: list[nn.Module] = [ResBlock(width, emb_width, width, config.groups)]
        if config.transformer_depth_middle:
            layers.append(self._transformer(width, config.transformer_depth_middle))
        layers.append(ResBlock(width, emb_width, width, config.groups))
        self.middle_block = Stage(*layers)

    def _build_output(self, emb_width: int, widths: list[int]) -> None:
        config = self.config
        self.output_blocks = nn.ModuleList()
        width = widths[-1]
        for level, factor in reversed(list(enumerate(config.channel_mult))):
            out = config.model_channels * factor
            for block in range(config.num_res_blocks + 1):
                layers: list[nn.Module] = [ResBlock(width + widths.pop(), emb_width, out, config.groups)]
                if config.transformer_depth[level]:
                    layers.append(self._transformer(out, config.transformer_depth[level]))
                if level and block == config.num_res_blocks:
                    layers.append(Upsample(out))
                self.output_blocks.append(Stage(*layers))
                width = out

    def forward(
        self, x: Tensor, timesteps: Tensor, context: Tensor | None = None, vector: Tensor | None = None
    ) -> Tensor:
        """(B, C, H, W), (B,), (B, T, D), (B, V) → (B, C', H, W); timesteps in the units the model was trained with."""
        waves = timestep_embedding(timesteps, self.config.model_channels).to(x.dtype)
        emb = self.time_embed(waves)
        if self.config.vector_width:
            emb = emb + self.label_emb(vector)
        skips: list[Tensor] = []
        for index, stage in enumerate(_stages(self.input_blocks)):
            x = stage.run(x, emb, context)
            if index == 0 and self.config.position_waves:
                x = x + self.position_embed(position_waves(x.shape[2], x.shape[3], self.config.position_waves, x))
            skips.append(x)
        x = self.middle_block.run(x, emb, context)
        for stage in _stages(self.output_blocks):
            x = torch.cat([x, skips.pop()], dim=1)
            x = stage.run(x, emb, context, skips[-1].shape[2:] if skips else None)
        return self.out(x)


def _stages(blocks: nn.ModuleList) -> Iterable[Stage]:
    return cast("Iterable[Stage]", blocks)

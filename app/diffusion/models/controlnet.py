"""ControlNet (Zhang et al. 2023, arXiv:2302.05543): the way down of a U-Net once more, which is also shown a picture.

Names are those of the original release. With `tasks` it is the union of github.com/xinsir6/ControlNetPlus, one network
for many kinds of pictures, whose own names stand beside them.

B batch, C channels, h × w latent pixels, H × W pixels of the picture, T context tokens, D context width
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.models.unet import ResBlock, Stage, UNet, UNetConfig, timestep_embedding

HINT_WIDTHS = (16, 32, 96, 256)
TASK_WAVES = 256  # sinusoids that tell each task
FUSION_HEADS = 8


@dataclass(frozen=True, slots=True)
class ControlNetConfig:
    """`unet` is the U-Net whose way down this is; `tasks` counts the kinds of pictures of a union, else 0.

    `hint_channels` are the picture's, `hint_widths` those of the layers that halve it three times.
    """

    unet: UNetConfig
    hint_channels: int = 3
    hint_widths: tuple[int, ...] = HINT_WIDTHS
    tasks: int = 0
    fusion_layers: int = 1


class ControlNet(nn.Module):
    """Residuals for a U-Net's skip connections and middle, from what the U-Net itself is given, and a picture."""

    def __init__(self, config: ControlNetConfig) -> None:
        super().__init__()
        self.config = config
        width = config.unet.model_channels
        down = UNet(config.unet)  # whose way up is not kept
        self.time_embed, self.input_blocks, self.middle_block = down.time_embed, down.input_blocks, down.middle_block
        if config.unet.vector_width:
            self.label_emb = down.label_emb
        self.input_hint_block = hint_block(config.hint_channels, config.hint_widths, width)
        widths = [_width(stage, width) for stage in cast("Iterable[Stage]", self.input_blocks)]
        self.zero_convs = nn.ModuleList(nn.Sequential(nn.Conv2d(each, each, 1)) for each in widths)
        self.middle_block_out = nn.Sequential(nn.Conv2d(widths[-1], widths[-1], 1))
        if config.tasks:
            self.control_add_embedding = TaskEmbedding(config.tasks * TASK_WAVES, 4 * width)
            self.task_embedding = nn.Parameter(torch.zeros(config.tasks, width))
            self.transformer_layes = nn.ModuleList(FusionBlock(width) for _ in range(config.fusion_layers))
            self.spatial_ch_projs = nn.Linear(width, width)

    def seen(self, hint: Tensor) -> Tensor:
        """What the network sees in a picture, the same at every level: (B, 3, H, W) in 0..1 → (B, C, H/8, W/8)."""
        return self.input_hint_block(hint)

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        seen: Tensor,
        context: Tensor | None = None,
        vector: Tensor | None = None,
        *,
        task: int | None = None,
    ) -> list[Tensor]:
        """(B, C, h, w), (B,), (B, C', h, w), (B, T, D), (B, V) → one residual a skip connection, and the middle's.

        x and timesteps as the U-Net is given them; `task` tells a union what kind of picture it was shown.
        """
        waves = timestep_embedding(timesteps, self.config.unet.model_channels).to(x.dtype)
        emb = self.time_embed(waves)
        if self.config.unet.vector_width:
            emb = emb + self.label_emb(vector)
        if self.config.tasks and task is not None:
            emb = emb + self.control_add_embedding(self._task_waves(task, x))
        residuals: list[Tensor] = []
        stages = cast("Iterable[Stage]", self.input_blocks)
        for index, (stage, zero) in enumerate(zip(stages, self.zero_convs, strict=True)):
            x = stage.run(x, emb, context)
            if index == 0:
                x = x + self._shown(seen, task)
            residuals.append(zero(x))
        return [*residuals, self.middle_block_out(self.middle_block.run(x, emb, context))]

    def _shown(self, seen: Tensor, task: int | None) -> Tensor:
        """The picture as the first features get it; of a union that knows its task, moved channel by channel."""
        if not self.config.tasks or task is None:
            return seen
        told = seen.mean(dim=(2, 3)) + self.task_embedding[task]  # (B, C)
        for layer in self.transformer_layes:
            told = layer(told)
        return seen + self.spatial_ch_projs(told)[:, :, None, None]

    def _task_waves(self, task: int, like: Tensor) -> Tensor:
        flags = F.one_hot(torch.tensor(task, device=like.device), self.config.tasks)
        return timestep_embedding(flags.float(), TASK_WAVES).flatten()[None].to(like.dtype)


class TaskEmbedding(nn.Module):
    """Two layers around a SiLU."""

    def __init__(self, inner: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(inner, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(x)))


class FusionBlock(nn.Module):
    """A transformer block over what was seen in a picture: (B, C) → (B, C).

    The published code attends along the batch, so that a picture alone looks at itself only: that is what is computed
    here for each, whatever else is in the batch.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, FUSION_HEADS)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = (part.chunk(3)[2] for part in (self.attn.in_proj_weight, self.attn.in_proj_bias))
        x = x + self.attn.out_proj(F.linear(self.ln_1(x), weight, bias))  # of one value, attention is that value
        y = self.mlp["c_fc"](self.ln_2(x))
        return x + self.mlp["c_proj"](y * torch.sigmoid(1.702 * y))  # the quick GELU of CLIP


def hint_block(channels: int, widths: tuple[int, ...], out: int) -> nn.Sequential:
    """Convolutions that bring a picture to an eighth of its size: (B, channels, H, W) → (B, out, H/8, W/8)."""
    layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 3, padding=1), nn.SiLU()]
    for index, width in enumerate(widths):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.SiLU()] if index < len(widths) - 1 else []
        if index < len(widths) - 1:
            layers += [nn.Conv2d(width, widths[index + 1], 3, padding=1, stride=2), nn.SiLU()]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], out, 3, padding=1))


def _width(stage: Stage, first: int) -> int:
    """The channels that a stage gives."""
    for layer in stage:
        if isinstance(layer, ResBlock):
            return layer.out_layers[3].out_channels  # pyright: ignore[reportReturnType]
        if hasattr(layer, "op"):
            return cast("nn.Conv2d", layer.op).out_channels
    return first

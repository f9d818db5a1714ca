"""ControlNets of Flux.1 as InstantX has published them: a shorter transformer that is shown a picture's latent as well.

Inside of `flux` stand the published names of the transformer, beside it those of diffusers. B batch, h × w latent
pixels, P patches, T text tokens, C width
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from app.diffusion.models.flux import PATCH, DoubleBlock, Flux, FluxConfig, SingleBlock
from app.diffusion.models.patches import packed, whole_patches


@dataclass(frozen=True, slots=True)
class FluxControlConfig:
    """`flux` is the transformer's shape; `hint_channels` are the latent's, and one more of a mask where it has 17.

    `tasks` counts the kinds of pictures of a union, else 0.
    """

    flux: FluxConfig
    hint_channels: int = 16
    tasks: int = 0

    @property
    def masked(self) -> bool:
        """Whether it is told by a mask what is to be drawn anew."""
        return self.hint_channels > self.flux.in_channels


class FluxControl(nn.Module):
    """Residuals for the blocks of Flux, from what Flux itself is given, and a picture's latent."""

    def __init__(self, config: FluxControlConfig) -> None:
        super().__init__()
        self.config = config
        width = config.flux.width
        self.flux = Flux(config.flux)
        del self.flux.final_layer
        self.controlnet_x_embedder = nn.Linear(config.hint_channels * PATCH**2, width)
        self.controlnet_blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(config.flux.double))
        self.controlnet_single_blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(config.flux.single))
        if config.tasks:
            self.controlnet_mode_embedder = nn.Embedding(config.tasks, width)

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        seen: Tensor,
        context: Tensor,
        vector: Tensor | None = None,
        *,
        guidance: Tensor | None = None,
        task: int | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """(B, 16, h, w), (B,), (B, 16 or 17, h, w), (B, T, D), (B, V) → (B, P, C) of each double and each single block.

        `task` tells a union what kind of picture it was shown.
        """
        flux, config = self.flux, self.config
        x, seen = whole_patches(x, PATCH), whole_patches(seen, PATCH)
        img = flux.img_in(packed(x, PATCH)) + self.controlnet_x_embedder(packed(seen, PATCH))
        txt = flux.txt_in(context)
        if config.tasks and task is not None:
            mode = self.controlnet_mode_embedder(torch.full((len(x), 1), task, device=x.device))
            txt = torch.cat([mode.to(txt), txt], dim=1)
        c = flux.vector(timesteps, vector, guidance, x)
        length = txt.shape[1]
        angles = flux.angles(flux.positions(x.shape[-2] // PATCH, x.shape[-1] // PATCH, length, x.device))
        double: list[Tensor] = []
        blocks = cast("Iterable[DoubleBlock]", flux.double_blocks)
        for block, out in zip(blocks, self.controlnet_blocks, strict=True):
            img, txt = block(img, txt, c, angles)
            double.append(out(img))
        both = torch.cat([txt, img], dim=1)
        single: list[Tensor] = []
        singles = cast("Iterable[SingleBlock]", flux.single_blocks)
        for block, out in zip(singles, self.controlnet_single_blocks, strict=True):
            both = block(both, c, angles)
            single.append(out(both[:, length:]))
        return double, single

"""ControlNets of Flux.1: a shorter transformer that is shown a picture as well, or its latent.

InstantX's are shown the latent, XLabs's the picture, which layers of their own bring to the latent's size. Inside of
`flux` stand the published names of the transformer, beside it those of diffusers. B batch, h × w latent pixels, H × W
pixels, P patches, T text tokens, C width
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from app.diffusion.models.controlnet import hint_block
from app.diffusion.models.flux import PATCH, Angles, DoubleBlock, Flux, FluxConfig, SingleBlock
from app.diffusion.models.patches import packed, whole_patches

HINT_WIDTHS = (16, 16, 16, 16)  # src/flux/controlnet.py of x-flux


@dataclass(frozen=True, slots=True)
class FluxControlConfig:
    """`flux` is the transformer's shape; `hint_channels` are the latent's, and one more of a mask where it has 17.

    `tasks` counts the kinds of pictures of a union, else 0. With `pictures` it is shown pictures, not their latents, of
    which its own layers make as many channels.
    """

    flux: FluxConfig
    hint_channels: int = 16
    tasks: int = 0
    pictures: bool = False

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
        if config.pictures:
            self.input_hint_block = hint_block(3, HINT_WIDTHS, config.hint_channels)
        self.controlnet_x_embedder = nn.Linear(config.hint_channels * PATCH**2, width)
        self.controlnet_blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(config.flux.double))
        self.controlnet_single_blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(config.flux.single))
        if config.tasks:
            self.controlnet_mode_embedder = nn.Embedding(config.tasks, width)

    def seen(self, hint: Tensor) -> Tensor:
        """What a network that is shown pictures sees in one, at every level: (B, 3, H, W) in 0..1 → (B, 16, h, w)."""
        return self.input_hint_block(hint * 2.0 - 1.0)

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
        flux = self.flux
        x, seen = whole_patches(x, PATCH), whole_patches(seen, PATCH)
        img = flux.img_in(packed(x, PATCH)) + self.controlnet_x_embedder(packed(seen, PATCH))
        txt = self._text(context, task)
        c = flux.vector(timesteps, vector, guidance, x)
        length = txt.shape[1]
        angles = flux.angles(flux.positions(x.shape[-2] // PATCH, x.shape[-1] // PATCH, length, x.device))
        double: list[Tensor] = []
        blocks = cast("Iterable[DoubleBlock]", flux.double_blocks)
        for block, out in zip(blocks, self.controlnet_blocks, strict=True):
            img, txt = block(img, txt, c, angles)
            double.append(out(img))
        return double, self._single(img, txt, c, angles)

    def _text(self, context: Tensor, task: int | None) -> Tensor:
        txt = self.flux.txt_in(context)
        if not self.config.tasks or task is None:
            return txt
        mode = self.controlnet_mode_embedder(torch.full((len(txt), 1), task, device=txt.device))
        return torch.cat([mode.to(txt), txt], dim=1)

    def _single(self, img: Tensor, txt: Tensor, c: Tensor, angles: Angles) -> list[Tensor]:
        """The residuals of single blocks, for the tokens of the picture."""
        both, length = torch.cat([txt, img], dim=1), txt.shape[1]
        single: list[Tensor] = []
        blocks = cast("Iterable[SingleBlock]", self.flux.single_blocks)
        for block, out in zip(blocks, self.controlnet_single_blocks, strict=True):
            both = block(both, c, angles)
            single.append(out(both[:, length:]))
        return single

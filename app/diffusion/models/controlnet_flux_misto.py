"""The ControlNet MistoLine of Flux.1 dev, as TheMistoAI has published it (modules/misto_controlnet.py there).

Beside the transformer stand diffusers' names for what XLabs's ControlNets have as well. B batch, H × W pixels, P
patches, T text tokens, C width
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.models.controlnet_flux import FluxControl, FluxControlConfig
from app.diffusion.models.flux import Angles, SingleBlock

HINT_WIDTH = 16
# The layers that see the picture: the side of each kernel, and whether it halves the size.
HINT_LAYERS = (
    *((3, False), (1, False), (3, False), (3, True), (3, False)),
    *((3, True), (3, False), (3, True), (1, False), (3, False)),
)


class GatedLinear(nn.Module):
    """A layer and a SiLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.linear(x))


class MistoControl(FluxControl):
    """Residuals for the blocks of Flux, those of single blocks for the text as well: (B, T + P, C)."""

    def __init__(self, config: FluxControlConfig) -> None:
        super().__init__(config)
        width = config.flux.width
        layers: list[nn.Module] = []
        for index, (side, halves) in enumerate(HINT_LAYERS):
            channels = 3 if index == 0 else HINT_WIDTH
            layers += [nn.Conv2d(channels, HINT_WIDTH, side, 2 if halves else 1, padding=side // 2), nn.SiLU()]
        self.input_hint_block = nn.Sequential(*layers[:-1])
        self.controlnet_blocks = nn.ModuleList(GatedLinear(width) for _ in range(config.flux.double))
        self.controlnet_single_blocks = nn.ModuleList(GatedLinear(width) for _ in range(config.flux.single))

    def _single(self, img: Tensor, txt: Tensor, c: Tensor, angles: Angles) -> list[Tensor]:
        # Single blocks begin without the picture: so it was trained.
        both = torch.cat([txt, torch.zeros_like(img)], dim=1)
        single: list[Tensor] = []
        blocks = cast("Iterable[SingleBlock]", self.flux.single_blocks)
        for block, out in zip(blocks, self.controlnet_single_blocks, strict=True):
            both = block(both, c, angles)
            single.append(out(both))
        return single

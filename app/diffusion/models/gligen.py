"""GLIGEN (Li et al. 2023, arXiv:2301.07093): layers between those of a U-Net that look at texts in boxes.

Module names are those of the published checkpoints. B batch, P places, N boxes, D width of a text, C channels
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from app.diffusion.models.attention import CrossAttention, FeedForward

FREQUENCIES, TEMPERATURE = 8, 100.0
WAVES = FREQUENCIES * 2 * 4  # a sine and a cosine of each side of a box
HEADS = 8
MOST_BOXES = 30  # as many as it was trained with


class PositionNet(nn.Module):
    """Texts and their boxes as what the layers look at; what there is not is told by learned features."""

    def __init__(self, width: int = 768, inner: int = 512, out: int = 768) -> None:
        super().__init__()
        self.linears = nn.Sequential(
            nn.Linear(width + WAVES, inner), nn.SiLU(), nn.Linear(inner, inner), nn.SiLU(), nn.Linear(inner, out)
        )
        self.null_positive_feature = nn.Parameter(torch.zeros(width))
        self.null_position_feature = nn.Parameter(torch.zeros(WAVES))

    def forward(self, texts: Tensor, boxes: Tensor) -> Tensor:
        """(N, D) and (N, 4), left, top, right and bottom in 0..1 → (MOST_BOXES, D'); the rest stands for no box."""
        missing = MOST_BOXES - len(texts)
        texts = torch.cat([texts, self.null_positive_feature.expand(missing, -1)])
        places = torch.cat([box_waves(boxes).to(texts), self.null_position_feature.expand(missing, -1)])
        return self.linears(torch.cat([texts, places], dim=-1))


def box_waves(boxes: Tensor) -> Tensor:
    """(N, 4) → (N, 64): sines and then cosines of all sides, frequency by frequency."""
    frequencies = TEMPERATURE ** (torch.arange(FREQUENCIES, device=boxes.device) / FREQUENCIES)
    angles = frequencies[:, None] * boxes[:, None]  # (N, F, 4)
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


class GatedAttention(nn.Module):
    """The picture looks at itself and the boxes, and as much of that counts as two learned gates let through."""

    def __init__(self, width: int, text_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(text_width, width)
        self.attn = CrossAttention(width, HEADS, width // HEADS)
        self.ff = FeedForward(width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.alpha_attn = nn.Parameter(torch.zeros(()))
        self.alpha_dense = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, boxes: Tensor) -> Tensor:  # (B, P, C), (B, N, D)
        looked = self.attn(self.norm1(torch.cat([x, self.linear(boxes)], dim=1)))[:, : x.shape[1]]
        x = x + self.alpha_attn.tanh() * looked
        return x + self.alpha_dense.tanh() * self.ff(self.norm2(x))


@dataclass(frozen=True, slots=True)
class GligenConfig:
    """(name of the transformer block, its width) of each gate, and the widths of the position net."""

    gates: Sequence[tuple[str, int]]
    text_width: int = 768
    inner: int = 512
    out: int = 768


class Gligen(nn.Module):
    """The position net, and the gates by the names of the U-Net's blocks that they stand in."""

    def __init__(self, config: GligenConfig) -> None:
        super().__init__()
        self.config = config
        self.position_net = PositionNet(config.text_width, config.inner, config.out)
        self.gates = nn.ModuleDict(
            {name.replace(".", "/"): GatedAttention(width, config.out) for name, width in config.gates}
        )


def gligen_config(shapes: Mapping[str, Sequence[int]]) -> GligenConfig:
    """The configuration that tensors of these shapes belong to.

    Raises:
        KeyError: a tensor that every file has is missing.
    """
    end = ".fuser.linear.weight"
    gates = sorted((name.removesuffix(end), shape[0]) for name, shape in shapes.items() if name.endswith(end))
    if not gates:
        raise KeyError(end)
    inner = shapes["position_net.linears.0.weight"][0]
    out = shapes["position_net.linears.4.weight"][0]
    return GligenConfig(gates, shapes["position_net.null_positive_feature"][0], inner, out)

"""The transformer that latent diffusion's first text-to-image models learnt with (Rombach et al. 2022, section 4.3.1).

Its names are those of the library that CompVis built it with: layers are counted through, attention and feed-forward
in turn. B batch, T tokens, C width, N heads, D head width
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.models.text_tower import TextFeatures, last_of


@dataclass(frozen=True, slots=True)
class BertConfig:
    """The shape of the transformer; the defaults are txt2img-1p4B's (CompVis txt2img-1p4B-eval.yaml)."""

    vocabulary: int = 30522
    width: int = 1280
    layers: int = 32
    length: int = 77
    heads: int = 8
    head_width: int = 64


class Attention(nn.Module):
    """Attention over all tokens, padding included."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        inner = config.heads * config.head_width
        self.heads = config.heads
        self.to_q = nn.Linear(config.width, inner, bias=False)
        self.to_k = nn.Linear(config.width, inner, bias=False)
        self.to_v = nn.Linear(config.width, inner, bias=False)
        self.to_out = nn.Linear(inner, config.width)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C)
        parts = (layer(x).unflatten(-1, (self.heads, -1)) for layer in (self.to_q, self.to_k, self.to_v))
        q, k, v = (part.transpose(1, 2) for part in parts)  # (B, N, T, D)
        return self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Four times the width and back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widen = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU())
        self.net = nn.Sequential(widen, nn.Dropout(0.0), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Normalised(nn.ModuleList):
    """Normalisation and a part of the network, added to their input."""

    def forward(self, x: Tensor) -> Tensor:
        norm, part = self
        return x + part(norm(x))


class AttentionLayers(nn.Module):
    """Attention and feed-forward in turn."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        parts = (part for _ in range(config.layers) for part in (Attention(config), FeedForward(config.width)))
        self.layers = nn.ModuleList(Normalised([nn.LayerNorm(config.width), part]) for part in parts)


class PositionTable(nn.Module):
    """A learnt vector for each place."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(length, width)


class Bert(nn.Module):
    """Token sequences to features.

    `to_logits` is the head that the files carry from their training; features do not pass through it.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.token_emb = nn.Embedding(config.vocabulary, config.width)
        self.pos_emb = PositionTable(config.length, config.width)
        self.attn_layers = AttentionLayers(config)
        self.norm = nn.LayerNorm(config.width)
        self.to_logits = nn.Linear(config.width, config.vocabulary)

    def embed(self, tokens: Tensor) -> Tensor:
        """The table's rows for token ids (B, T), (B, T, C)."""
        return self.token_emb(tokens)

    def forward(
        self,
        tokens: Tensor,
        end: Tensor | None = None,
        *,
        layer: int = -1,
        normalise: bool = True,
        embedded: Tensor | None = None,
    ) -> TextFeatures:
        """Features of (B, T) token ids; `pooled` is the feature at `end` (B,), by default at the first token.

        `layer` counts from the last (−1) backwards; `embedded` (B, T, C) replaces the token table's rows where given.
        """
        x = self.embed(tokens) if embedded is None else embedded
        x = x + self.pos_emb.emb.weight[: x.shape[1]]
        chosen = x
        wanted = 2 * last_of(layer, self.config.layers) + 1
        for index, part in enumerate(self.attn_layers.layers):
            x = part(x)
            if index == wanted:
                chosen = x
        hidden = self.norm(chosen) if normalise else chosen
        places = torch.zeros(len(x), dtype=torch.long, device=x.device) if end is None else end
        return TextFeatures(hidden, hidden[torch.arange(len(x), device=x.device), places])

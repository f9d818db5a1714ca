"""The encoder of T5 1.0 and 1.1 (Raffel et al. 2020, arXiv:1910.10683), with the published checkpoints' names.

B batch, T tokens, C width, N heads, D head width
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.models.stored import StoredEmbedding, StoredLinear
from app.diffusion.models.text_tower import TextFeatures, last_of


@dataclass(frozen=True, slots=True)
class T5Config:
    """The shape of an encoder; the defaults are those of T5 1.1 XXL (google/t5-v1_1-xxl, config.json).

    `gated` tells 1.1 (gated GELU) from 1.0 (ReLU). `length` is None: positions are relative, any number is taken.
    """

    vocabulary: int = 32128
    width: int = 4096
    inner: int = 10240
    layers: int = 24
    heads: int = 64
    head_width: int = 64
    buckets: int = 32
    distance: int = 128
    gated: bool = True
    length: None = None


class ScaleNorm(nn.Module):
    """Division by the root of the mean square, and a scale for each channel; no mean is taken away."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight.to(x.dtype), 1e-6)


class SelfAttention(nn.Module):
    """Attention over all tokens; not scaled by the head width, as T5's initialisation makes up for it."""

    def __init__(self, config: T5Config, *, is_first: bool) -> None:
        super().__init__()
        self.config = config
        inner = config.heads * config.head_width
        self.q = StoredLinear(config.width, inner)
        self.k = StoredLinear(config.width, inner)
        self.v = StoredLinear(config.width, inner)
        self.o = StoredLinear(inner, config.width)
        if is_first:
            self.relative_attention_bias = nn.Embedding(config.buckets, config.heads)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:  # (B, T, C), (1, N, T, T)
        parts = (layer(x).unflatten(-1, (self.config.heads, -1)) for layer in (self.q, self.k, self.v))
        q, k, v = (part.transpose(1, 2) for part in parts)  # (B, N, T, D)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        return self.o(x.transpose(1, 2).flatten(2))


def bucket_of(distance: Tensor, buckets: int, furthest: int) -> Tensor:
    """The row of the bias table for a key that stands `distance` tokens after the query, to either side.

    Half of the rows are for each side; of these, half for exact distances, the others logarithmic up to `furthest`.
    """
    side = buckets // 2
    exact = side // 2
    far = distance.abs()
    ratio = torch.log(far.clamp(min=1).float() / exact) / math.log(furthest / exact)
    coarse = (exact + (ratio * (side - exact)).long()).clamp(max=side - 1)
    return (distance > 0).long() * side + torch.where(far < exact, far, coarse)


class DenseReluDense(nn.Module):
    """The feed-forward layer; gated by a GELU (tanh form) or with a ReLU."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.gated = config.gated
        if config.gated:
            self.wi_0 = StoredLinear(config.width, config.inner)
            self.wi_1 = StoredLinear(config.width, config.inner)
        else:
            self.wi = StoredLinear(config.width, config.inner)
        self.wo = StoredLinear(config.inner, config.width)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.gelu(self.wi_0(x), approximate="tanh") * self.wi_1(x) if self.gated else F.relu(self.wi(x))
        return self.wo(inner)


class AttentionLayer(nn.Module):
    """Self-attention on a normalised input, added to it."""

    def __init__(self, config: T5Config, *, is_first: bool) -> None:
        super().__init__()
        self.SelfAttention = SelfAttention(config, is_first=is_first)
        self.layer_norm = ScaleNorm(config.width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        return x + self.SelfAttention(self.layer_norm(x), bias)


class FeedForwardLayer(nn.Module):
    """The feed-forward layer on a normalised input, added to it."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.DenseReluDense = DenseReluDense(config)
        self.layer_norm = ScaleNorm(config.width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.DenseReluDense(self.layer_norm(x))


class Block(nn.Module):
    """Attention and feed-forward."""

    def __init__(self, config: T5Config, *, is_first: bool) -> None:
        super().__init__()
        self.layer = nn.ModuleList([AttentionLayer(config, is_first=is_first), FeedForwardLayer(config)])

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        return self.layer[1](self.layer[0](x, bias))


class Stack(nn.Module):
    """The blocks and the final normalisation."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.block = nn.ModuleList(Block(config, is_first=index == 0) for index in range(config.layers))
        self.final_layer_norm = ScaleNorm(config.width)

    def bias(self, length: int, dtype: torch.dtype) -> Tensor:
        """What each head adds for the distance of two tokens, (1, N, T, T); the first block's table holds for all."""
        table = self.get_parameter("block.0.layer.0.SelfAttention.relative_attention_bias.weight")
        places = torch.arange(length, device=table.device)
        distance = places[None] - places[:, None]
        rows = table[bucket_of(distance, self.config.buckets, self.config.distance)]
        return rows.to(dtype).permute(2, 0, 1)[None]


class T5Encoder(nn.Module):
    """Token sequences to features. Computes in float32: its activations leave the range of half precision."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.shared = StoredEmbedding(config.vocabulary, config.width)
        self.encoder = Stack(config)

    def embed(self, tokens: Tensor) -> Tensor:
        """The table's rows for token ids (B, T), float32 (B, T, C)."""
        return self.shared(tokens)

    def forward(
        self, tokens: Tensor, end: Tensor, *, layer: int = -1, normalise: bool = True, embedded: Tensor | None = None
    ) -> TextFeatures:
        """Features of (B, T) token ids, padding included; `pooled` is the feature at `end` (B,).

        `layer` counts from the last (−1) backwards; `embedded` (B, T, C) replaces the token table's rows where given.
        """
        x = self.embed(tokens) if embedded is None else embedded.float()
        bias = self.encoder.bias(x.shape[1], x.dtype)
        chosen = x
        wanted = last_of(layer, len(self.encoder.block))
        for index, block in enumerate(self.encoder.block):
            x = block(x, bias)
            if index == wanted:
                chosen = x
        hidden = self.encoder.final_layer_norm(chosen) if normalise else chosen
        return TextFeatures(hidden, hidden[torch.arange(len(hidden), device=hidden.device), end])

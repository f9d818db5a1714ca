"""CLIP's text tower (Radford et al. 2021, arXiv:2103.00020), with the transformers checkpoints' module names.

B batch, T tokens, C width
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.kernels.lanes import cores_for
from app.diffusion.models.text_tower import TextFeatures, last_of


@dataclass(frozen=True, slots=True)
class ClipTextConfig:
    """The shape of a text tower. The defaults are ViT-L/14's. `activation` is one of `ACTIVATIONS`."""

    vocabulary: int = 49408
    width: int = 768
    layers: int = 12
    heads: int = 12
    length: int = 77
    activation: str = "quick_gelu"
    projection: int | None = None


def quick_gelu(x: Tensor) -> Tensor:
    """x · σ(1.702 x), the approximation that OpenAI's weights were trained with."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS = {"quick_gelu": quick_gelu, "gelu": F.gelu, "gelu_tanh": partial(F.gelu, approximate="tanh")}


class Attention(nn.Module):
    """Self-attention; `causal` lets a token see itself and those before it only."""

    def __init__(self, config: ClipTextConfig, *, causal: bool = True) -> None:
        super().__init__()
        self.heads, self.causal = config.heads, causal
        self.k_proj = nn.Linear(config.width, config.width)
        self.v_proj = nn.Linear(config.width, config.width)
        self.q_proj = nn.Linear(config.width, config.width)
        self.out_proj = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C)
        parts = (layer(x).unflatten(-1, (self.heads, -1)) for layer in (self.q_proj, self.k_proj, self.v_proj))
        q, k, v = (part.transpose(1, 2) for part in parts)  # (B, N, T, C/N)
        x = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out_proj(x.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Two linear layers around the activation."""

    def __init__(self, config: ClipTextConfig, inner: int | None = None) -> None:
        super().__init__()
        inner = inner or 4 * config.width
        self.activation = ACTIVATIONS[config.activation]
        self.fc1 = nn.Linear(config.width, inner)
        self.fc2 = nn.Linear(inner, config.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(x)))


class EncoderLayer(nn.Module):
    """Attention and MLP, each on a normalised input and added to it."""

    def __init__(self, config: ClipTextConfig, *, causal: bool = True, inner: int | None = None) -> None:
        super().__init__()
        self.self_attn = Attention(config, causal=causal)
        self.layer_norm1 = nn.LayerNorm(config.width)
        self.mlp = MLP(config, inner)
        self.layer_norm2 = nn.LayerNorm(config.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Embeddings(nn.Module):
    """Token and position tables."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        self.position_embedding = nn.Embedding(config.length, config.width)


class Encoder(nn.Module):
    """The stack of layers; `inner` is the width between the MLPs' layers, by default four times the tower's."""

    def __init__(self, config: ClipTextConfig, *, causal: bool = True, inner: int | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config, causal=causal, inner=inner) for _ in range(config.layers))


class TextModel(nn.Module):
    """Embeddings, layers and the final normalisation."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.final_layer_norm = nn.LayerNorm(config.width)


class ClipText(nn.Module):
    """Token sequences to features; see `TextFeatures`."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.config = config
        self.text_model = TextModel(config)
        if config.projection:
            self.text_projection = nn.Linear(config.width, config.projection, bias=False)

    def embed(self, tokens: Tensor) -> Tensor:
        """The token table's rows for ids (B, T), (B, T, C)."""
        return self.text_model.embeddings.token_embedding(tokens)

    def forward(
        self, tokens: Tensor, end: Tensor, *, layer: int = -1, normalise: bool = True, embedded: Tensor | None = None
    ) -> TextFeatures:
        """Features of (B, T) token ids whose end token stands at `end` (B,).

        `layer` counts from the last (−1) backwards, one that there is not means the last; `embedded` (B, T, C) stands
        in place of the token table's rows.
        """
        model = self.text_model
        x = self.embed(tokens) if embedded is None else embedded
        x = x + model.embeddings.position_embedding.weight[: x.shape[1]]
        chosen = x
        wanted = last_of(layer, len(model.encoder.layers))
        with cores_for(tokens.numel() * self.config.width**2, x.device):
            for index, block in enumerate(model.encoder.layers):
                x = block(x)
                if index == wanted:
                    chosen = x
        last = model.final_layer_norm(x)
        pooled = last[torch.arange(len(last), device=last.device), end]
        if self.config.projection:
            pooled = self.text_projection(pooled)
        hidden = model.final_layer_norm(chosen) if normalise else chosen
        return TextFeatures(hidden, pooled)

"""A tokenizer and a text tower as one: prompts to the tensor that the U-Net attends to.

B prompts, T tokens, C width
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.diffusion.conditioning.prompt import Chunk, chunked, parse_weights
from app.diffusion.conditioning.tokenizer import Tokenizer
from app.diffusion.models.clip_text import ClipText, TextFeatures


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt's features: `context` (1, T, C) for attention, `pooled` (1, C) for vector conditions."""

    context: Tensor
    pooled: Tensor


@dataclass(slots=True)
class TextEncoder:
    """One text tower with its tokenizer. `layer` counts from the last, −1; `padding` is None for the end token."""

    model: ClipText
    tokenizer: Tokenizer
    layer: int = -1
    normalise: bool = True
    padding: int | None = None

    def chunks(self, prompt: str) -> list[Chunk]:
        """The prompt as chunks of the tower's length."""
        return chunked(parse_weights(prompt), self.tokenizer, self.model.config.length, self.padding)

    @torch.no_grad()
    def encode(self, prompt: str) -> Encoded:
        """Features of a prompt; chunks stand one after the other along T, pooled is the first chunk's."""
        chunks = self.chunks(prompt)
        features = self._features(chunks)
        hidden = features.hidden
        weights = torch.tensor([chunk.weights for chunk in chunks], dtype=hidden.dtype, device=hidden.device)
        if bool((weights != 1.0).any()):
            empty = self._features(self.chunks("")).hidden
            hidden = empty + weights[:, :, None] * (hidden - empty)
        return Encoded(hidden.flatten(0, 1)[None].float(), features.pooled[:1].float())

    def _features(self, chunks: Sequence[Chunk]) -> TextFeatures:
        device = next(self.model.parameters()).device
        tokens = torch.tensor([chunk.tokens for chunk in chunks], device=device)
        end = torch.tensor([chunk.end for chunk in chunks], device=device)
        return self.model(tokens, end, layer=self.layer, normalise=self.normalise)

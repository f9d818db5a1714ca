"""Several text towers as one encoder, as SDXL, SD3 and Flux have them.

T tokens, C width
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.diffusion.conditioning.embeddings import EmbeddingFiles
from app.diffusion.conditioning.prompt import Chunk
from app.diffusion.conditioning.text_encoder import Encoded, TextEncoder, TextTower

# What the towers say, by name; a tower that was asked nothing is not among them.
Join = Callable[[Mapping[str, Encoded]], Encoded]

L_WIDTH, G_WIDTH, T5_WIDTH = 768, 1280, 4096


@dataclass(frozen=True, slots=True)
class JoinedEncoder:
    """Text towers by name, how what they say becomes one, and all of them as one module. See `PromptEncoder`."""

    encoders: Mapping[str, TextEncoder]
    join: Join
    model: nn.ModuleDict

    @classmethod
    def of(cls, encoders: Mapping[str, TextEncoder], join: Join) -> JoinedEncoder:
        """An encoder of these towers."""
        return cls(encoders, join, nn.ModuleDict({name: encoder.model for name, encoder in encoders.items()}))

    @property
    def towers(self) -> Mapping[str, TextTower]:
        """The text towers by name."""
        return {name: encoder.model for name, encoder in self.encoders.items()}

    def chunks_of(self, prompt: str) -> Mapping[str, list[Chunk]]:
        """The prompt's tokens for each tower."""
        return {name: encoder.chunks(prompt) for name, encoder in self.encoders.items()}

    def encode(self, prompt: str) -> Encoded:
        """Features of one prompt from all towers."""
        return self.encode_chunks(self.chunks_of(prompt))

    def encode_each(self, prompts: Mapping[str, str]) -> Encoded:
        """Features of one prompt per tower; the chunks of towers that have such are filled up to the same number."""
        chunks = {name: self.encoders[name].chunks(text) for name, text in prompts.items() if name in self.encoders}
        chunked = [name for name in chunks if self.encoders[name].model.config.length is not None]
        count = max((len(chunks[name]) for name in chunked), default=0)
        for name in chunked:
            chunks[name] = [*chunks[name], *islice(cycle(self.encoders[name].chunks("")), count - len(chunks[name]))]
        return self.encode_chunks(chunks)

    def encode_chunks(self, chunks: Mapping[str, Sequence[Chunk]]) -> Encoded:
        """Features of tokens, by the tower's name; a tower without any says nothing."""
        said = {name: self.encoders[name].encode_tokens(part) for name, part in chunks.items() if part}
        return self.join(said)

    def with_layer(self, layer: int) -> JoinedEncoder:
        """The same, every tower stopping at a layer counted from the last, −1."""
        return self._mapped(lambda encoder: encoder.with_layer(layer))

    def with_embeddings(self, embeddings: EmbeddingFiles) -> JoinedEncoder:
        """The same, with embeddings by name."""
        return self._mapped(lambda encoder: encoder.with_embeddings(embeddings))

    def with_lengths(self, least: int, spare: int) -> JoinedEncoder:
        """The same; what tokenizes without chunks pads by `spare` tokens and up to `least`."""
        return self._mapped(lambda encoder: encoder.with_lengths(least, spare))

    def with_towers(self, towers: Mapping[str, TextTower]) -> JoinedEncoder:
        """The same with other towers in place of those of these names."""
        encoders = {name: encoder.with_towers(towers) for name, encoder in self.encoders.items()}
        return JoinedEncoder.of(encoders, self.join)

    def _mapped(self, change: Callable[[TextEncoder], TextEncoder]) -> JoinedEncoder:
        return replace(self, encoders={name: change(encoder) for name, encoder in self.encoders.items()})


def join_sdxl(said: Mapping[str, Encoded]) -> Encoded:
    """L and G side by side (1, T, 2048), cut to the shorter; pooled is G's (1, 1280)."""
    g = said.get("g")
    pooled = torch.zeros(1, G_WIDTH) if g is None else g.pooled
    return Encoded(_side_by_side(said), pooled)


def join_sd3(said: Mapping[str, Encoded]) -> Encoded:
    """L and G side by side, filled up to 4096 channels, then T5's tokens; pooled is L's and G's (1, 2048).

    A tower that says nothing leaves zeros (L, G) or no tokens (T5). (Esser et al. 2024, arXiv:2403.03206, section 4)
    """
    parts: list[Tensor] = []
    if "l" in said or "g" in said:
        clip = _side_by_side(said)
        parts.append(functional.pad(clip, (0, T5_WIDTH - clip.shape[-1])))
    if "t5xxl" in said:
        parts.append(said["t5xxl"].context)
    if not parts:
        parts.append(torch.zeros(1, 77, T5_WIDTH))
    like = parts[0]
    pooled = [
        said[name].pooled.to(like.device) if name in said else torch.zeros(1, width, device=like.device)
        for name, width in (("l", L_WIDTH), ("g", G_WIDTH))
    ]
    return Encoded(torch.cat([part.to(like.device) for part in parts], dim=1), torch.cat(pooled, dim=1))


def join_flux(said: Mapping[str, Encoded]) -> Encoded:
    """T5's features (1, T, 4096); pooled is L's (1, 768). Zeros for one that says nothing."""
    context = said["t5xxl"].context if "t5xxl" in said else torch.zeros(1, 256, T5_WIDTH)
    return Encoded(context, said["l"].pooled if "l" in said else torch.zeros(1, L_WIDTH))


def _side_by_side(said: Mapping[str, Encoded]) -> Tensor:
    """L before G along the channels, cut to the shorter; zeros in place of one that says nothing."""
    if "l" in said and "g" in said:
        first, second = said["l"].context, said["g"].context
        length = min(first.shape[1], second.shape[1])
        return torch.cat([first[:, :length], second[:, :length].to(first.device)], dim=-1)
    if "l" in said:
        return functional.pad(said["l"].context, (0, G_WIDTH))
    if "g" in said:
        return functional.pad(said["g"].context, (L_WIDTH, 0))
    return torch.zeros(1, 77, L_WIDTH + G_WIDTH)

"""A text encoder whose weights change on the way, and the conditioning that it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from app.diffusion.conditioning.embeddings import EmbeddingFiles
from app.diffusion.conditioning.entries import Conditioning, conditioning_of, with_options
from app.diffusion.conditioning.prompt import Chunk
from app.diffusion.conditioning.text_encoder import Encoded, PromptEncoder, TextTower
from app.diffusion.guidance.keyframes import stretches
from app.diffusion.guidance.weight_hooks import WeightHooks


@dataclass(frozen=True, slots=True)
class HookedEncoder:
    """See `PromptEncoder`; `inner` under the hooks.

    With `scheduled` it says something of its own for each part of the way on which the strengths stay; without, the
    strengths do not vary. With `told` the conditioning carries the hooks on to the diffusion model.
    """

    inner: PromptEncoder
    hooks: WeightHooks
    scheduled: bool = False
    told: bool = True

    @property
    def model(self) -> nn.Module:
        """See `PromptEncoder`; the weights without hooks, over which the others are made."""
        return self.inner.model

    @property
    def towers(self) -> Mapping[str, TextTower]:
        """See `PromptEncoder`."""
        return self.inner.towers

    def encode(self, prompt: str) -> Encoded:
        """See `PromptEncoder`."""
        return self._changed().encode(prompt)

    def encode_each(self, prompts: Mapping[str, str]) -> Encoded:
        """See `PromptEncoder`."""
        return self._changed().encode_each(prompts)

    def chunks_of(self, prompt: str) -> Mapping[str, list[Chunk]]:
        """See `PromptEncoder`."""
        return self.inner.chunks_of(prompt)

    def encode_chunks(self, chunks: Mapping[str, Sequence[Chunk]]) -> Encoded:
        """See `PromptEncoder`."""
        return self._changed().encode_chunks(chunks)

    def with_layer(self, layer: int) -> HookedEncoder:
        """See `PromptEncoder`."""
        return replace(self, inner=self.inner.with_layer(layer))

    def with_embeddings(self, embeddings: EmbeddingFiles) -> HookedEncoder:
        """See `PromptEncoder`."""
        return replace(self, inner=self.inner.with_embeddings(embeddings))

    def with_lengths(self, least: int, spare: int) -> HookedEncoder:
        """See `PromptEncoder`."""
        return replace(self, inner=self.inner.with_lengths(least, spare))

    def with_towers(self, towers: Mapping[str, TextTower]) -> HookedEncoder:
        """See `PromptEncoder`."""
        return replace(self, inner=self.inner.with_towers(towers))

    def conditioning(self, ask: Callable[[PromptEncoder], Encoded]) -> Conditioning:
        """What `ask` gets of the encoder: an entry for each part of the way if scheduled, else one."""
        if self.scheduled:
            said: Conditioning = []
            for start, end, factors in stretches([hook.keyframes for hook in self.hooks.hooks]):
                part = conditioning_of(ask(self.hooks.applied_to_clip(self.inner, factors)))
                said += with_options(part, clip_start_percent=start, clip_end_percent=end)
        else:
            said = conditioning_of(ask(self._changed()))
        return with_options(said, hooks=self.hooks) if self.told else said

    def _changed(self) -> PromptEncoder:
        return self.hooks.applied_to_clip(self.inner)


def said_by(clip: PromptEncoder, ask: Callable[[PromptEncoder], Encoded]) -> Conditioning:
    """What `ask` gets of a text encoder, as conditioning; as often as its hooks want it."""
    return clip.conditioning(ask) if isinstance(clip, HookedEncoder) else conditioning_of(ask(clip))

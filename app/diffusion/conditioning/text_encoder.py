"""A tokenizer and a text tower as one: prompts to features.

B chunks, T tokens, C width
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from app.diffusion.conditioning.embeddings import EmbeddingFiles, no_embeddings, vectors_for
from app.diffusion.conditioning.prompt import LARGEST_WEIGHT, Chunk, Framing, checked_weights, chunked, parse_weights
from app.diffusion.given import finite
from app.diffusion.models.bert import Bert
from app.diffusion.models.clip_text import ClipText
from app.diffusion.models.t5 import T5Encoder
from app.diffusion.models.text_tower import TextFeatures
from app.diffusion.working import make_ready
from app.errors import InvalidRequest

TextTower = ClipText | T5Encoder | Bert


class Words(Protocol):
    """A tokenizer: `start` is None where a text has no start token."""

    @property
    def start(self) -> int | None:
        """The id that a text begins with."""
        ...

    @property
    def end(self) -> int:
        """The id that a text ends with."""
        ...

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without start and end."""
        ...


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt's features: `context` (1, T, C) for attention, `pooled` (1, C) for vector conditions."""

    context: Tensor
    pooled: Tensor


class PromptEncoder(Protocol):
    """What encodes prompts for a model: one text tower, or several together."""

    @property
    def model(self) -> nn.Module:
        """The weights that encoding needs."""
        ...

    @property
    def towers(self) -> Mapping[str, TextTower]:
        """The text towers by name: l, g, h, t5xxl, bert."""
        ...

    def encode(self, prompt: str) -> Encoded:
        """Features of a prompt."""
        ...

    def encode_each(self, prompts: Mapping[str, str]) -> Encoded:
        """Features of one prompt per tower, by the tower's name; a tower without one says nothing."""
        ...

    def chunks_of(self, prompt: str) -> Mapping[str, list[Chunk]]:
        """The prompt's tokens for each tower."""
        ...

    def encode_chunks(self, chunks: Mapping[str, Sequence[Chunk]]) -> Encoded:
        """Features of tokens; a tower without any says nothing."""
        ...

    def with_layer(self, layer: int) -> PromptEncoder:
        """The same, stopping at a layer counted from the last, −1."""
        ...

    def with_embeddings(self, embeddings: EmbeddingFiles) -> PromptEncoder:
        """The same, with embeddings by name."""
        ...

    def with_lengths(self, least: int, spare: int) -> PromptEncoder:
        """The same; what tokenizes without chunks pads by `spare` tokens and up to `least`."""
        ...

    def with_towers(self, towers: Mapping[str, TextTower]) -> PromptEncoder:
        """The same with other towers in place of those of these names."""
        ...


@dataclass(slots=True)
class TextEncoder:
    """One text tower with its tokenizer.

    `layer` counts from the last, −1; one beyond the first means the last, normalised. `padding` is None for the end
    token. `least` and `spare` pad what has no chunks of one length. `name` is the tower's in files of embeddings.
    """

    model: TextTower
    tokenizer: Words
    layer: int = -1
    normalise: bool = True
    padding: int | None = None
    name: str = "l"
    least: int = 0
    spare: int = 0
    embeddings: EmbeddingFiles = field(default=no_embeddings)

    @property
    def towers(self) -> Mapping[str, TextTower]:
        """See `PromptEncoder`."""
        return {self.name: self.model}

    @property
    def width(self) -> int:
        """Channels of the features."""
        return self.model.config.width

    def chunks(self, prompt: str) -> list[Chunk]:
        """The prompt as chunks of the tower's length.

        Raises:
            InvalidRequest: an embedding of another width than the tower's, a weight that is too large.
        """
        return chunked(checked_weights(parse_weights(prompt)), self.tokenizer.encode, self._framing, self._vectors)

    @property
    def _framing(self) -> Framing:
        end = self.tokenizer.end
        padding = end if self.padding is None else self.padding
        return Framing(end, padding, self.tokenizer.start, self.model.config.length, self.least, self.spare)

    def _vectors(self, name: str) -> Tensor | None:
        data = self.embeddings(name)
        vectors = None if data is None else vectors_for(data, self.name)
        if vectors is not None and vectors.shape[-1] != self.width:
            raise InvalidRequest(
                f"The embedding {name!r} has vectors of width {vectors.shape[-1]}; this text encoder's are "
                f"{self.width} wide.",
                remedy="Use an embedding that was made for this kind of model, or take it out of the prompt.",
            )
        return vectors

    def chunks_of(self, prompt: str) -> Mapping[str, list[Chunk]]:
        """See `PromptEncoder`."""
        return {self.name: self.chunks(prompt)}

    def encode(self, prompt: str) -> Encoded:
        """Features of a prompt; chunks stand one after the other along T, pooled is the first chunk's."""
        return self.encode_tokens(self.chunks(prompt))

    def encode_each(self, prompts: Mapping[str, str]) -> Encoded:
        """See `PromptEncoder`. A single tower takes the prompt of its name, or the only one."""
        return self.encode(prompts[self.name] if self.name in prompts else next(iter(prompts.values()), ""))

    def encode_chunks(self, chunks: Mapping[str, Sequence[Chunk]]) -> Encoded:
        """See `PromptEncoder`."""
        return self.encode_tokens(chunks.get(self.name) or self.chunks(""))

    @torch.no_grad()
    def encode_tokens(self, chunks: Sequence[Chunk]) -> Encoded:
        """Features of equally long chunks, one or more: z' = z₀ + w·(z − z₀) with the empty prompt's z₀.

        Raises:
            InvalidRequest: they came out as no numbers.
        """
        features = self._features(chunks)
        hidden = features.hidden
        weights = torch.tensor([chunk.weights for chunk in chunks], dtype=hidden.dtype, device=hidden.device)
        if bool((weights != 1.0).any()):
            empty = self._features([self._empty(len(chunks[0].tokens))]).hidden
            hidden = empty + weights[:, :, None] * (hidden - empty)
        encoded = Encoded(hidden.flatten(0, 1)[None].float(), features.pooled[:1].float())
        if not finite(encoded.context, encoded.pooled):
            raise self._not_numbers(chunks)
        return encoded

    def _not_numbers(self, chunks: Sequence[Chunk]) -> InvalidRequest:
        largest = max((weight for chunk in chunks for weight in chunk.weights), key=abs)
        precision = str(next(self.model.parameters()).dtype).removeprefix("torch.")
        return InvalidRequest(
            f"The text encoder {self.name!r} computed values that are not numbers, in {precision}; the largest weight "
            f"in the prompt is {largest:g}.",
            remedy="Use weights from 0.5 to 1.5; if the weight is not the reason, load another text encoder.",
            input_name=None if abs(largest) > LARGEST_WEIGHT else "clip",
        )

    def _empty(self, length: int) -> Chunk:
        return chunked([], self.tokenizer.encode, replace(self._framing, least=length, spare=0))[0]

    def _features(self, chunks: Sequence[Chunk]) -> TextFeatures:
        make_ready(self.model)
        device = next(self.model.parameters()).device
        tokens = torch.tensor([chunk.tokens for chunk in chunks], device=device)
        end = torch.tensor([chunk.end for chunk in chunks], device=device)
        embedded = None
        if any(chunk.vectors for chunk in chunks):
            embedded = self.model.embed(tokens)
            for row, chunk in zip(embedded, chunks, strict=True):
                for place, vector in chunk.vectors:
                    row[place] = vector.to(row)
        # In place of a layer that there is not stands all that the tower says, which is normalised.
        whole = -self.layer > self.model.config.layers
        return self.model(tokens, end, layer=self.layer, normalise=self.normalise or whole, embedded=embedded)

    def with_layer(self, layer: int) -> TextEncoder:
        """See `PromptEncoder`."""
        return replace(self, layer=layer)

    def with_embeddings(self, embeddings: EmbeddingFiles) -> TextEncoder:
        """See `PromptEncoder`."""
        return replace(self, embeddings=embeddings)

    def with_lengths(self, least: int, spare: int) -> TextEncoder:
        """See `PromptEncoder`."""
        return replace(self, least=least, spare=spare) if self.model.config.length is None else self

    def with_towers(self, towers: Mapping[str, TextTower]) -> TextEncoder:
        """See `PromptEncoder`."""
        return replace(self, model=towers[self.name]) if self.name in towers else self

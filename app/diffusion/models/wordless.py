"""What tells a model of latent diffusion what to draw without any words."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

from app.errors import InvalidRequest

# What text encoders have: see `conditioning.text_encoder.PromptEncoder`.
OF_TEXT_ENCODERS = frozenset(
    {
        *("model", "towers", "encode", "encode_each", "chunks_of", "encode_chunks"),
        *("with_layer", "with_embeddings", "with_lengths", "with_towers"),
    }
)


class Wordless(nn.Module):
    """Travels where a text encoder would, and says so when a prompt is to be encoded.

    `told` is what the model understands, `remedy` how to tell it.
    """

    told: ClassVar[str]
    remedy: ClassVar[str]

    def __getattr__(self, name: str) -> Any:
        """The parts of the module; raises InvalidRequest for those of a text encoder."""
        if name in OF_TEXT_ENCODERS:
            raise InvalidRequest(
                f"This checkpoint reads no prompts: it is told {self.told}.", remedy=self.remedy, input_name="clip"
            )
        return super().__getattr__(name)

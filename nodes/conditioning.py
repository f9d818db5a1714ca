"""Nodes that turn prompts into conditioning and change it."""

from __future__ import annotations

from typing import Annotated

from app.api import Clip, Conditioning, Context, Text, node
from app.diffusion.conditioning.entries import conditioning_of


@node("CLIP Text Encode (Prompt)", category="conditioning", id="CLIPTextEncode", aliases=("prompt", "text"))
def clip_text_encode(
    *, context: Context, text: Annotated[str, Text(multiline=True, dynamic=True)], clip: Clip
) -> Conditioning:
    """Encodes a prompt for the sampler. (word) and (word:1.2) weigh a part of it.

    Args:
        text: The prompt.
        clip: The text encoder of the checkpoint.
    """
    with context.models.on_device(clip.model):
        return conditioning_of(clip.encode(text))

"""What the tests of training share: the tiny model, and something to learn."""

from __future__ import annotations

from typing import Any

import torch

from app.training.adapters.examples import Example, examples_of
from app.weights.checkpoint import Checkpoint

SIDE = 4


def latents(count: int = 1) -> dict[str, Any]:
    """Latents of plain colours, each another one."""
    colours = torch.linspace(-2, 2, 4).view(1, 4, 1, 1) * torch.arange(1, count + 1).view(-1, 1, 1, 1)
    return {"samples": colours.expand(count, 4, SIDE, SIDE).clone()}


def said(checkpoint: Checkpoint, text: str = "red") -> list[list[Any]]:
    """A prompt as conditioning."""
    encoded = checkpoint.clip.encode(text)
    return [[encoded.context, {"pooled_output": encoded.pooled}]]


def examples(checkpoint: Checkpoint, count: int = 1) -> list[Example]:
    """Examples to learn from."""
    return examples_of(checkpoint.model, latents(count), said(checkpoint))

"""Nodes that make and change latents."""

from __future__ import annotations

from typing import Annotated

from app.api import Latent, Range, node
from app.diffusion.drawing import empty_latent

Side = Annotated[int, Range(16, 16384, step=8)]


@node("Empty Latent Image", category="latent", id="EmptyLatentImage", aliases=("size", "resolution", "new"))
def empty_latent_image(
    *, width: Side = 512, height: Side = 512, batch_size: Annotated[int, Range(1, 4096)] = 1
) -> Latent:
    """A blank latent to start from; its size is the size of the picture.

    Args:
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        batch_size: How many pictures to draw at once.
    """
    return empty_latent(width, height, batch_size)

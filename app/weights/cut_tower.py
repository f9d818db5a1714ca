"""CLIP's text tower as diffusers publishes it for Stable Diffusion 2: without its last layer, which is not used there.

B batch, T tokens, C width
"""

from __future__ import annotations

from torch import Tensor

from app.diffusion.models.clip_text import ClipText
from app.diffusion.models.text_tower import TextFeatures
from app.errors import InvalidRequest


class CutClipText(ClipText):
    """A tower whose last layer was cut off; its configuration counts the layers that are left.

    Layers are counted from the whole tower's last, −1, as for the whole one. `pooled` is what the last of those that
    are left says, so not the whole tower's; Stable Diffusion 2 does not use it.
    """

    def forward(
        self, tokens: Tensor, end: Tensor, *, layer: int = -1, normalise: bool = True, embedded: Tensor | None = None
    ) -> TextFeatures:
        """See `ClipText`. Raises InvalidRequest for the layer that is not there."""
        if not -self.config.layers - 1 <= layer < -1:
            raise InvalidRequest(
                f"This text encoder cannot stop at layer {layer}: it holds CLIP without the last layer, as Stable "
                f"Diffusion 2 is published in diffusers' form.",
                remedy=f"Stop at layer -2, which Stable Diffusion 2 has learnt with, or at one down to "
                f"-{self.config.layers + 1}; or load a file with the whole CLIP.",
            )
        return super().forward(tokens, end, layer=layer + 1, normalise=normalise, embedded=embedded)

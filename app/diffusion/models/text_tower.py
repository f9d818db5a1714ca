"""What all text towers share.

B batch, T tokens, C width
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class TextFeatures:
    """What a tower says of a batch of token sequences.

    `hidden` is the chosen layer's output (B, T, C), with the final normalisation if asked for; `pooled` is the last
    layer's normalised output at the end token (B, C), projected if the tower has a projection.
    """

    hidden: Tensor
    pooled: Tensor


def last_of(layer: int, layers: int) -> int:
    """The index of a layer that is counted from the last, −1; the last for one that there is not."""
    return layers + layer if -layers <= layer < 0 else layers - 1

"""Layers that compute in a precision of their own choice, whatever their weights are stored in."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class StoredLinear(nn.Linear):
    """A linear layer without bias that computes in its input's precision."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__(inner, outer, bias=False)  # pyright: ignore[reportUnknownMemberType]

    def reset_parameters(self) -> None:
        """Draw new weights: outputs are as large as inputs."""
        nn.init.normal_(self.weight, std=self.in_features**-0.5)

    def forward(self, input: Tensor) -> Tensor:  # (…, C) → (…, O)
        return F.linear(input, self.weight.to(input.dtype))


class StoredEmbedding(nn.Embedding):
    """A table whose rows are given in float32."""

    def forward(self, input: Tensor) -> Tensor:  # (…) → (…, C)
        return super().forward(input).float()

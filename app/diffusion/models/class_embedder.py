"""Classes as context of one token (Rombach et al. 2022, section 4.3.2), with the CompVis checkpoints' names."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from app.diffusion.models.wordless import Wordless
from app.errors import InvalidRequest


class ClassEmbedder(Wordless):
    """A vector for each class; where there is one more than classes, the last stands for none."""

    told = "classes"
    remedy = "Use Class Conditioning."

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, width)

    def forward(self, labels: Tensor) -> Tensor:
        """(B,) → (B, 1, D)."""
        return self.embedding(labels)[:, None]


def class_condition(embedder: object, label: int) -> Tensor:
    """The context (1, 1, D) of a class, on the CPU.

    Raises:
        InvalidRequest: what is given knows no classes, or not this one.
    """
    if not isinstance(embedder, ClassEmbedder):
        raise InvalidRequest("This checkpoint knows no classes.", remedy="Encode a prompt instead.", input_name="clip")
    classes = embedder.embedding.num_embeddings
    if not 0 <= label < classes:
        raise InvalidRequest(
            f"The model knows no class {label}.", remedy=f"Choose one from 0 to {classes - 1}.", input_name="label"
        )
    with torch.no_grad():
        return embedder(torch.tensor([label], device=embedder.embedding.weight.device)).float().cpu()

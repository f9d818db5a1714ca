"""A map of classes, brought to the latent's size and few channels (CompVis ldm/modules/encoders), with its names."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.models.wordless import Wordless
from app.errors import InvalidRequest

STAGES = 2  # halvings; of every published model


class SpatialRescaler(Wordless):
    """One-hot classes (B, K, H, W) → (B, C, H / 4, W / 4)."""

    told = "maps of classes"
    remedy = "Use Segmentation Conditioning."

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.channel_mapper = nn.Conv2d(classes, channels, 1, bias=False)

    def forward(self, classes: Tensor) -> Tensor:
        for _ in range(STAGES):
            classes = F.interpolate(classes, scale_factor=0.5, mode="bilinear")
        return self.channel_mapper(classes)


def segmentation_condition(rescaler: object, labels: Tensor) -> Tensor:
    """Further channels (B, C, H / 4, W / 4) for a map of classes (B, H, W) of whole numbers, on the CPU.

    Raises:
        InvalidRequest: what is given knows no such maps, or not one of the classes.
    """
    if not isinstance(rescaler, SpatialRescaler):
        raise InvalidRequest(
            "This checkpoint draws no maps of classes.", remedy="Encode a prompt instead.", input_name="clip"
        )
    weight = rescaler.channel_mapper.weight
    known, highest = weight.shape[1], int(labels.max())
    if highest >= known:
        raise InvalidRequest(
            f"The map has a class {highest}; the model knows {known}.",
            remedy=f"Use grey values from 0 to {known - 1}, one for each class.",
            input_name="labels",
        )
    one_hot = F.one_hot(labels.long(), known).movedim(-1, 1)
    with torch.no_grad():
        return rescaler(one_hot.to(weight)).float().cpu()

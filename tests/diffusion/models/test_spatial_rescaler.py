"""Maps of classes become channels beside the latent."""

from __future__ import annotations

import pytest
import torch

from app.diffusion.models.spatial_rescaler import SpatialRescaler, segmentation_condition
from app.errors import InvalidRequest


def test_each_class_is_its_column() -> None:
    rescaler = SpatialRescaler(5, 3)
    labels = torch.full((1, 16, 24), 2)
    told = segmentation_condition(rescaler, labels)
    assert told.shape == (1, 3, 4, 6)
    column = rescaler.channel_mapper.weight[:, 2, 0, 0]
    torch.testing.assert_close(told, column.view(1, 3, 1, 1).expand_as(told).detach())


def test_borders_are_mixed() -> None:
    rescaler = SpatialRescaler(2, 1)
    rescaler.channel_mapper.weight.data[:] = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1)
    labels = torch.zeros(1, 8, 8)
    labels[:, :, 2:] = 1
    assert segmentation_condition(rescaler, labels)[0, 0, 0].tolist() == [0.5, 1.0]


def test_unknown_classes_and_other_encoders_are_named() -> None:
    with pytest.raises(InvalidRequest, match="class 7; the model knows 5") as told:
        segmentation_condition(SpatialRescaler(5, 3), torch.full((1, 8, 8), 7))
    assert "0 to 4" in told.value.remedy
    with pytest.raises(InvalidRequest, match="no maps of classes"):
        segmentation_condition(object(), torch.zeros(1, 8, 8))

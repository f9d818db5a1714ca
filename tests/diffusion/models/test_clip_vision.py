from __future__ import annotations

import pytest
import torch

from app.diffusion.models.clip_vision import (
    DEVIATION,
    MEAN,
    VISION_G,
    VISION_H,
    VISION_L,
    ClipVision,
    ClipVisionConfig,
    clip_vision_config,
    seen,
)


@pytest.mark.parametrize(("config", "millions"), [(VISION_L, 304), (VISION_H, 632), (VISION_G, 1845)])
def test_shapes_tell_the_configuration(config: ClipVisionConfig, millions: int) -> None:
    with torch.device("meta"):
        state = ClipVision(config).state_dict()
    assert clip_vision_config({name: tuple(value.shape) for name, value in state.items()}) == config
    assert sum(value.numel() for value in state.values()) / 1e6 == pytest.approx(millions, rel=0.01)


def test_every_patch_counts_for_every_other() -> None:
    torch.manual_seed(9)
    tower = ClipVision(ClipVisionConfig(32, 2, 4, 48, 4, 12, "gelu", 8)).eval()
    pixels = torch.randn(1, 3, 12, 12)
    changed = pixels.clone()
    changed[..., -1, -1] += 1
    first, second = tower(pixels), tower(changed)
    assert first.image_embeds.shape == (1, 8)
    assert first.last_hidden_state.shape == (1, 10, 32)
    assert not torch.allclose(first.last_hidden_state[:, 1], second.last_hidden_state[:, 1])


def test_the_penultimate_layer_is_the_one_before_the_last() -> None:
    tower = ClipVision(ClipVisionConfig(32, 3, 4, 48, 4, 12, "gelu", 8)).eval()
    features = tower(torch.randn(1, 3, 12, 12))
    last = tower.vision_model.encoder.layers[-1]
    torch.testing.assert_close(last(features.penultimate_hidden_states), features.last_hidden_state)


@pytest.mark.parametrize("size", [(12, 12), (24, 48), (30, 20), (5, 9)])
@pytest.mark.parametrize("crop", [True, False])
def test_a_picture_of_any_size_is_seen_as_a_square(size: tuple[int, int], crop: bool) -> None:
    assert seen(torch.rand(2, *size, 4), 12, crop=crop).shape == (2, 3, 12, 12)


def test_cropping_looks_at_the_middle_only() -> None:
    image = torch.zeros(1, 12, 36, 3)
    image[:, :, 12:24] = 1
    white = (1 - torch.tensor(MEAN)) / torch.tensor(DEVIATION)
    torch.testing.assert_close(seen(image, 12)[0], white[:, None, None].expand(3, 12, 12))
    assert float(seen(image, 12, crop=False).std()) > 0.5

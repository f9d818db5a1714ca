"""CLIP's vision towers at their published widths, a few layers deep, equal transformers' (float32)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from app.diffusion.models.clip_vision import SIGLIP, VISION_G, VISION_H, VISION_L, ClipVision, ClipVisionConfig, seen
from tests.parity.full_width import TOLERANCE, built, normal, relative_error

TOWERS = {"L": VISION_L, "H": VISION_H, "G": VISION_G}


def in_transformers(config: ClipVisionConfig) -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    shape = CLIPVisionConfig(
        hidden_size=config.width,
        intermediate_size=config.inner,
        projection_dim=config.projection,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        image_size=config.size,
        patch_size=config.patch,
        hidden_act=config.activation,
    )
    with torch.device("meta"):
        theirs: Any = CLIPVisionModelWithProjection(shape).eval()
    theirs.vision_model.embeddings.position_ids = torch.arange((config.size // config.patch) ** 2 + 1)[None]
    return theirs


@pytest.mark.parametrize("name", TOWERS)
def test_the_tower_equals_transformers(name: str) -> None:
    config = replace(TOWERS[name], layers=2, size=112)
    ours = built(lambda: ClipVision(config), 41)
    theirs = in_transformers(config)
    theirs.load_state_dict(ours.state_dict(), assign=True)
    pixels = normal(2, 3, 112, 112, seed=42)
    with torch.inference_mode():
        expected = theirs(pixels, output_hidden_states=True)
        features = ours(pixels)
        assert relative_error(features.image_embeds, expected.image_embeds) < TOLERANCE
        assert relative_error(features.last_hidden_state, expected.last_hidden_state) < TOLERANCE
        assert relative_error(features.penultimate_hidden_states, expected.hidden_states[-2]) < TOLERANCE


def test_pictures_are_prepared_as_transformers_prepares_them() -> None:
    from transformers import CLIPImageProcessorPil

    image = torch.nn.functional.interpolate(normal(1, 3, 12, 18, seed=43).sigmoid(), size=(300, 450), mode="bilinear")
    theirs: Any = CLIPImageProcessorPil()(image, do_rescale=False, return_tensors="pt")["pixel_values"]
    ours = seen(image.movedim(1, -1), 224)
    assert ours.shape == theirs.shape
    # Pillow rounds to 8 bits after each direction: two steps, divided by the smallest deviation.
    assert float((ours - theirs).abs().max()) < 2.05 / 255 / 0.26


@pytest.mark.parametrize("head", [True, False])
def test_siglips_tower_equals_transformers(head: bool) -> None:
    from transformers import SiglipVisionConfig, SiglipVisionModel

    config = replace(SIGLIP, layers=2, size=76, head=head)  # five patches and a rest of 6 pixels, as 384 has
    ours = built(lambda: ClipVision(config), 44)
    shape = SiglipVisionConfig(
        hidden_size=1152,
        intermediate_size=4304,
        num_hidden_layers=2,
        num_attention_heads=16,
        image_size=76,
        patch_size=14,
        vision_use_head=head,
    )
    with torch.device("meta"):
        theirs: Any = SiglipVisionModel(shape).eval()
    state = ours.state_dict()
    wanted = theirs.state_dict()
    bare = {name: value for name, value in wanted.items() if name.startswith("vision_model.")}
    named = state if bare else {name.removeprefix("vision_model."): value for name, value in state.items()}
    theirs.load_state_dict(named, assign=True)
    for module in theirs.modules():
        if hasattr(module, "position_ids"):
            module.position_ids = torch.arange(25)[None]
    pixels = normal(2, 3, 76, 76, seed=45)
    with torch.inference_mode():
        expected = theirs(pixels, output_hidden_states=True)
        features = ours(pixels)
        assert relative_error(features.last_hidden_state, expected.last_hidden_state) < TOLERANCE
        assert relative_error(features.penultimate_hidden_states, expected.hidden_states[-2]) < TOLERANCE
        if head:
            assert relative_error(features.image_embeds, expected.pooler_output) < TOLERANCE

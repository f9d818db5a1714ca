"""Stable Diffusion 3's transformer at its published width, two blocks deep, equals diffusers' (float32)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from app.diffusion.models.mmdit import SD3_MEDIUM, SD35_LARGE, SD35_MEDIUM, MMDiT, MMDiTConfig
from tests.parity.full_width import TOLERANCE, built, normal, relative_error

CONFIGS = {
    "3 medium": replace(SD3_MEDIUM, depth=2),
    "3.5 medium": replace(SD35_MEDIUM, depth=3, dual=1, places=192),
    "3.5 large, one block": replace(SD35_LARGE, depth=1),
}


def in_diffusers(config: MMDiTConfig, state: dict[str, torch.Tensor]) -> Any:
    from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

    with torch.device("meta"):
        theirs: Any = SD3Transformer2DModel(
            sample_size=128,
            in_channels=config.channels,
            out_channels=config.channels,
            num_layers=config.depth,
            num_attention_heads=config.heads,
            attention_head_dim=64,
            joint_attention_dim=config.context_width,
            caption_projection_dim=config.width,
            pooled_projection_dim=config.vector_width,
            pos_embed_max_size=config.places,
            qk_norm="rms_norm" if config.normalised else None,
            dual_attention_layers=tuple(range(config.dual)),
        )
    theirs.load_state_dict(convert_sd3_transformer_checkpoint_to_diffusers(dict(state)), assign=True)
    return theirs.eval()


@pytest.mark.parametrize("name", CONFIGS)
def test_the_transformer_equals_diffusers(name: str) -> None:
    config = CONFIGS[name]
    ours = built(lambda: MMDiT(config), 21)
    theirs = in_diffusers(config, ours.state_dict())
    x, context = normal(2, 16, 8, 12, seed=22), normal(2, 9, 4096, seed=23)
    vector, t = normal(2, 2048, seed=24), torch.tensor([1.0, 873.5])
    with torch.inference_mode():
        expected = theirs(x, context, vector, t).sample
        assert relative_error(ours(x, t, context, vector), expected) < TOLERANCE

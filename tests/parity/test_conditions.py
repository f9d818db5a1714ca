"""What networks are told besides the text equals what diffusers' pipelines tell theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

from app.diffusion.inputs import inputs_of
from app.diffusion.noise import noise_beside
from app.diffusion.published import PUBLISHED, U_NETS
from app.diffusion.unclip import NoiseAugmentor
from tests.parity.diffusers_networks import TOLERANCE, relative_error, unets

SIZES = {"height": 768, "width": 1024, "crop_h": 8, "crop_w": 16}
SAID: dict[str, dict[str, Any]] = {
    "sdxl": {**SIZES, "target_height": 512, "target_width": 640},
    "sdxl-refiner": {**SIZES, "aesthetic_score": 6.5},
}


@pytest.mark.parametrize("name", SAID)
def test_sizes_and_scores_are_told_in_the_same_order(name: str) -> None:
    config = replace(
        U_NETS[name],
        model_channels=32,
        channel_mult=(1,),
        num_res_blocks=1,
        transformer_depth=(1,),
        transformer_depth_middle=1,
        heads=2,
        head_width=None,
        groups=8,  # a group of one channel would normalise away what is told
    )
    sizes = {"addition_embed_type": "text_time", "addition_time_embed_dim": 256, "class_embed_type": None}
    ours, theirs = unets(config, **sizes)
    x, context = torch.randn(2, 4, 8, 8), torch.randn(1, 5, config.context_width or 1)
    pooled, t = torch.randn(1, 1280), torch.tensor([500.0])
    vector = inputs_of(PUBLISHED[name])(context, {**SAID[name], "pooled_output": pooled}, x)["vector"]
    # Both pipelines: original size, crop, then the target size or the score, each height first.
    ids = torch.tensor([[float(value) for value in SAID[name].values()]])
    added = {"text_embeds": pooled.expand(2, -1), "time_ids": ids.expand(2, -1)}
    with torch.inference_mode():
        expected = theirs(x, t, context.expand(2, -1, -1), added_cond_kwargs=added).sample
        got = ours(x, t.expand(2), context.expand(2, -1, -1), vector.expand(2, -1))
        other = ours(x, t.expand(2), context.expand(2, -1, -1), vector.roll(256, 1).expand(2, -1))
    assert relative_error(got, expected) < TOLERANCE < relative_error(other, expected)


def test_a_picture_s_embedding_is_noised_as_unclip_noises_it() -> None:
    mean, deviation, picture = torch.randn(1, 32), torch.rand(1, 32) + 0.5, torch.randn(1, 32)
    normalizer = StableUnCLIPImageNormalizer(32)
    normalizer.load_state_dict({"mean": mean, "std": deviation})
    level = torch.tensor([300])
    with torch.inference_mode():
        noised = DDPMScheduler(beta_schedule="squaredcos_cap_v2").add_noise(
            normalizer.scale(picture),
            noise_beside(picture, 9),
            level,  # pyright: ignore[reportArgumentType]
        )
        told = get_timestep_embedding(level, 32, flip_sin_to_cos=True, downscale_freq_shift=0)
        expected = torch.cat([normalizer.unscale(noised), told], dim=1)
    torch.testing.assert_close(NoiseAugmentor(mean, deviation)(picture, 300 / 999, 9), expected)

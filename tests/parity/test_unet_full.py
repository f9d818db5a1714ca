"""Stable Diffusion 1.5's U-Net at its full size, 860 million weights, equals diffusers' (float32)."""

from __future__ import annotations

import torch

from app.diffusion.published import U_NETS
from tests.parity.diffusers_networks import TOLERANCE, relative_error, unets


def test_stable_diffusion_1_equals_diffusers() -> None:
    ours, theirs = unets(U_NETS["sd1"])
    generator = torch.Generator().manual_seed(4)
    x, context = torch.randn(1, 4, 16, 16, generator=generator), torch.randn(1, 77, 768, generator=generator)
    t = torch.tensor([417.0])
    with torch.inference_mode():
        assert relative_error(ours(x, t, context), theirs(x, t, context).sample) < TOLERANCE

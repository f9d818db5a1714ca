"""U-Nets of every family equal diffusers' with the same random weights, at full width (float32)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from app.diffusion.models.unet import UNetConfig
from app.diffusion.published import U_NETS
from tests.parity.diffusers_networks import TOLERANCE, pixel_unets, relative_error, unets


def shallow(name: str, mult: tuple[int, ...], depth: tuple[int, ...], middle: int) -> UNetConfig:
    """A published U-Net's width, heads, projections and inputs, with fewer blocks and, where kinds repeat, levels."""
    cross = (False, True)[: len(mult)] if U_NETS[name].cross_only else ()
    return replace(
        U_NETS[name],
        channel_mult=mult,
        num_res_blocks=1,
        transformer_depth=depth,
        transformer_depth_middle=middle,
        output_depth=(),
        cross_only=cross,
    )


CASES = {
    "sd1": shallow("sd1", (1, 2), (1, 0), 1),
    "sd1-inpaint": shallow("sd1-inpaint", (1, 2), (1, 0), 1),
    "sd1-instruct-pix2pix": shallow("sd1-instruct-pix2pix", (1,), (1,), 1),
    "sd2": shallow("sd2", (1, 2, 4, 4), (1, 1, 1, 0), 1),
    "sd2-depth": shallow("sd2-depth", (1,), (1,), 1),
    "sd2-inpaint": shallow("sd2-inpaint", (1,), (1,), 1),
    "sd2-unclip-l": shallow("sd2-unclip-l", (1,), (1,), 1),
    "sd2-unclip-h": shallow("sd2-unclip-h", (1,), (1,), 1),
    "sd2-x4-upscaler": shallow("sd2-x4-upscaler", (1, 2), (0, 1), 1),
    "sdxl": shallow("sdxl", (1, 2, 4), (0, 1, 2), 2),
    "sdxl-inpaint": shallow("sdxl-inpaint", (1,), (1,), 1),
    "sdxl-instruct-pix2pix": shallow("sdxl-instruct-pix2pix", (1,), (1,), 1),
    "sdxl-refiner": shallow("sdxl-refiner", (1, 2, 4, 4), (0, 1, 1, 0), 1),
    "segmind-vega": shallow("segmind-vega", (1, 2), (0, 1), -1),
    "koala-700m": shallow("koala-700m", (1, 2), (0, 2), -2),
    "koala-1b": shallow("koala-1b", (1, 2), (0, 2), 2),
    "ldm-text2img-large": shallow("ldm-text2img-large", (1, 2), (1, 0), 1),
    "ldm-text2img256": shallow("ldm-text2img256", (1, 2, 3, 5), (0, 1, 1, 1), 1),
    "ldm-cin256-v2": shallow("ldm-cin256-v2", (1, 2, 3, 5), (0, 1, 1, 1), 1),
    "ldm-cin256": shallow("ldm-cin256", (1, 2), (1, 1), 1),
    "ldm-rdm768": shallow("ldm-rdm768", (1,), (1,), 1),
    "ldm-layout2img": shallow("ldm-layout2img", (1, 2), (0, 3), 3),
}


@pytest.mark.parametrize("name", CASES)
def test_it_equals_diffusers(name: str) -> None:
    config = CASES[name]
    ours, theirs = unets(config)
    generator = torch.Generator().manual_seed(4)
    size = (12, 10) if len(config.channel_mult) > 1 else (7, 9)
    x = torch.randn(2, config.in_channels, *size, generator=generator)
    context = torch.randn(2, 9, config.context_width or 1, generator=generator)
    vector = torch.randn(2, config.vector_width, generator=generator) if config.vector_width else None
    classes = torch.tensor([3, 700]) if config.classes else None
    t = torch.tensor([3.0, 981.0])
    with torch.inference_mode():
        expected = theirs(x, t, context, class_labels=vector if classes is None else classes).sample
        got = ours(x[:, :3], t, context, vector, classes=classes, concat=x[:, 3:])
    assert relative_error(got, expected) < TOLERANCE


def pixels(name: str, mult: tuple[int, ...], depth: tuple[int, ...]) -> UNetConfig:
    return replace(U_NETS[name], channel_mult=mult, num_res_blocks=1, transformer_depth=depth)


PIXEL_CASES = {
    "ldm-unconditional": pixels("ldm-unconditional", (1, 2), (0, 1)),
    "ldm-churches": replace(pixels("ldm-churches", (1, 1), (1, 1)), scale_shift=True),
    "ldm-inpainting-big": pixels("ldm-inpainting-big", (1, 1), (1, 1)),
    "ldm-bsr-sr": pixels("ldm-bsr-sr", (1, 2), (0, 1)),
    "ldm-semantic-synthesis": pixels("ldm-semantic-synthesis", (1, 4), (0, 0)),
}


@pytest.mark.parametrize("name", PIXEL_CASES)
def test_without_a_context_it_equals_diffusers(name: str) -> None:
    config = PIXEL_CASES[name]
    ours, theirs = pixel_unets(config)
    x = torch.randn(2, config.in_channels, 12, 8, generator=torch.Generator().manual_seed(5))
    t = torch.tensor([7.0, 903.0])
    with torch.inference_mode():
        assert relative_error(ours(x, t), theirs(x, t).sample) < TOLERANCE


def test_distilled_depths_equal_diffusers() -> None:
    """SSD-1B: other depths on the way up than down, and half a middle."""
    config = replace(
        U_NETS["ssd-1b"],
        channel_mult=(1, 2),
        num_res_blocks=1,
        transformer_depth=(0, 2),
        output_depth=(3, 1, 0, 0),
    )
    ours, theirs = unets(
        config,
        transformer_layers_per_block=[1, [2]],
        reverse_transformer_layers_per_block=[[3, 1], [1, 1]],
    )
    x, context = torch.randn(1, 4, 8, 8), torch.randn(1, 5, 2048)
    vector, t = torch.randn(1, 2816), torch.tensor([500.0])
    with torch.inference_mode():
        expected = theirs(x, t, context, class_labels=vector).sample
        assert relative_error(ours(x, t, context, vector), expected) < TOLERANCE


def test_a_wrong_weight_would_show() -> None:
    """The tolerance tells networks apart: one changed bias is seen."""
    ours, theirs = unets(CASES["sd1-instruct-pix2pix"])
    x, context, t = torch.randn(1, 8, 8, 8), torch.randn(1, 3, 768), torch.tensor([500.0])
    ours.get_parameter("middle_block.1.transformer_blocks.0.attn2.to_out.0.bias").data += 0.05
    with torch.inference_mode():
        # The weights are shared, so theirs sees the change until ours has one of its own.
        same = relative_error(ours(x, t, context), theirs(x, t, context).sample)
        name = "middle_block.1.transformer_blocks.0.attn2.to_out.0.bias"
        ours.get_parameter(name).data = ours.get_parameter(name).data + 0.05
        other = relative_error(ours(x, t, context), theirs(x, t, context).sample)
    assert same < TOLERANCE < other

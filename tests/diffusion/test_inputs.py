"""What networks are told besides the latent: widths, orders and numbers as their training had them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from app.diffusion.inputs import GREY, GUIDANCE, inputs_of, noise_level, noised_image, text_alone
from app.diffusion.latent_format import LatentFormat
from app.diffusion.models.unet import UNet, timestep_embedding
from app.diffusion.published import FLUX, PUBLISHED, SCHNELL, SD3, U_NETS
from app.errors import InvalidRequest

LIKE = torch.zeros(2, 4, 16, 24)


def told(family: str, said: dict[str, Any], *, width: int | None = None, negative: bool = False) -> Any:
    """What the family's network gets for a prompt with those options."""
    width = width or U_NETS[family].context_width or 1
    return inputs_of(PUBLISHED[family])(torch.zeros(1, 77, width), said, LIKE, negative=negative)


def sizes(vector: Tensor) -> list[float]:
    """The numbers behind the sinusoids of a vector, found by looking for them."""
    candidates = torch.arange(0, 2049).float()
    table = timestep_embedding(torch.cat([candidates, torch.tensor([2.5])]), 256)
    rows = vector[0, 1280:].unflatten(0, (-1, 256))
    found = [int((table - row).abs().sum(1).argmin()) for row in rows]
    return [2.5 if index == len(candidates) else float(index) for index in found]


def test_text_alone_is_the_context() -> None:
    features = torch.zeros(1, 3, 5)
    assert text_alone(features, {"pooled_output": features}, LIKE) == {"context": features}
    assert set(told("sd1", {})) == {"context"}


def test_a_prompt_of_another_model_is_told_by_its_width() -> None:
    with pytest.raises(InvalidRequest, match="width 768; the model reads 2048"):
        told("sdxl", {}, width=768)
    with pytest.raises(InvalidRequest, match="pooled features of width 768; the model takes 1280"):
        told("sdxl", {"pooled_output": torch.zeros(1, 768)})


def test_sdxl_hears_of_sizes_height_first() -> None:
    pooled = torch.randn(1, 1280)
    said = {"width": 1000, "height": 600, "crop_w": 8, "crop_h": 16, "target_width": 900, "target_height": 500}
    vector = told("sdxl", {"pooled_output": pooled, **said})["vector"]
    assert torch.equal(vector[:, :1280], pooled)
    assert sizes(vector) == [600, 1000, 16, 8, 500, 900]


def test_sizes_that_nobody_told_are_the_picture_s() -> None:
    assert sizes(told("sdxl", {})["vector"]) == [128, 192, 0, 0, 128, 192]
    assert sizes(told("sdxl", {"width": 64, "height": 32})["vector"]) == [32, 64, 0, 0, 32, 64]


def test_the_refiner_hears_how_pretty_the_picture_is() -> None:
    assert sizes(told("sdxl-refiner", {})["vector"]) == [128, 192, 0, 0, 6]
    assert sizes(told("sdxl-refiner", {}, negative=True)["vector"]) == [128, 192, 0, 0, 2.5]
    assert sizes(told("sdxl-refiner", {"aesthetic_score": 9.0}, negative=True)["vector"])[-1] == 9


def test_inpainting_sees_mask_then_covered_picture() -> None:
    image, mask = torch.randn(1, 4, 16, 24), torch.zeros(1, 1, 128, 192)
    mask[..., :96] = 1
    concat = told("sd1-inpaint", {"concat_latent_image": image, "concat_mask": mask})["concat"]
    assert concat.shape == (1, 5, 16, 24)
    assert set(concat[:, 0].unique().tolist()) == {0.0, 1.0}
    assert bool((concat[0, 0, :, :11] == 1).all())
    torch.testing.assert_close(concat[:, 1:], image * 0.18215)


def test_inpainting_without_a_picture_draws_everything() -> None:
    concat = told("sd1-inpaint", {})["concat"]
    assert bool((concat[:, 0] == 1).all())
    torch.testing.assert_close(concat[0, 1:, 3, 5], torch.tensor(GREY))


def test_inpainting_that_is_shown_nothing_takes_the_covered_latent_and_its_mask() -> None:
    """VAE Encode (for Inpainting) covers the picture and leaves a mask; the model is told of both by the run."""
    image, mask = torch.randn(1, 4, 16, 24), torch.zeros(1, 1, 16, 24)
    mask[..., :7] = 0.6
    run = {"latent_image": image, "denoise_mask": mask}
    concat = told("sd1-inpaint", run)["concat"]
    assert torch.equal(concat[:, 1:], image)  # it comes in the model's scale
    assert torch.equal(concat[:, :1], mask.round())
    other = torch.randn(1, 4, 16, 24)
    shown = told("sd1-inpaint", {**run, "concat_latent_image": other, "concat_mask": 1 - mask})["concat"]
    torch.testing.assert_close(shown[:, 1:], other * 0.18215)
    assert bool((shown[:, 0, :, 7:] == 1).all())
    without_mask = told("sd1-inpaint", {"latent_image": image})["concat"]
    assert torch.equal(without_mask, told("sd1-inpaint", {})["concat"])


def test_latent_diffusion_s_inpainting_has_its_own_order_and_range() -> None:
    said = {"concat_latent_image": torch.full((1, 3, 16, 24), 0.5), "concat_mask": torch.zeros(1, 1, 16, 24)}
    concat = inputs_of(PUBLISHED["ldm-inpainting-big"])(torch.zeros(1, 1, 1), said, torch.zeros(1, 3, 16, 24))["concat"]
    assert concat.shape == (1, 4, 16, 24)
    assert bool((concat[:, :3] == 0.5).all())
    assert bool((concat[:, 3] == -1).all())


def test_editing_takes_the_picture_as_the_first_stage_gives_it() -> None:
    image = torch.randn(1, 4, 8, 12)
    concat = told("sd1-instruct-pix2pix", {"concat_latent_image": image})["concat"]
    assert concat.shape == (1, 4, 16, 24)
    row = PUBLISHED["sdxl-instruct-pix2pix"]
    cosxl = replace(row, sampling=replace(row.sampling, prediction="v-edm"))
    plain, scaled = (
        inputs_of(each)(torch.zeros(1, 1, 2048), {"concat_latent_image": image}, image)["concat"]
        for each in (row, cosxl)
    )
    torch.testing.assert_close(plain, image)
    torch.testing.assert_close(scaled, image * 0.13025)


def test_depth_and_small_pictures_are_taken_as_they_are() -> None:
    depth = torch.rand(1, 1, 128, 192)
    assert told("sd2-depth", {"concat_image": depth})["concat"].shape == (1, 1, 16, 24)
    assert not told("sd2-depth", {})["concat"].any()
    with pytest.raises(InvalidRequest, match="brings 2 channels; the model takes 1"):
        told("sd2-depth", {"concat_image": torch.zeros(1, 2, 16, 24)})


def test_the_upscaler_hears_how_much_noise_there_is() -> None:
    inputs = told("sd2-x4-upscaler", {"concat_image": torch.zeros(1, 3, 16, 24), "noise_augmentation": 0.1})
    assert inputs["classes"].tolist() == [35]
    assert inputs["concat"].shape == (1, 3, 16, 24)


def test_noise_hides_the_picture_as_the_forward_process_does() -> None:
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    noised = noised_image(image, 1.0)
    betas = torch.linspace(1e-4**0.5, 0.02**0.5, 1000, dtype=torch.float64) ** 2
    signal = float((1 - betas).cumprod(0)[noise_level(1.0)])
    kept = float((noised * image).mean() / image.square().mean())
    assert kept == pytest.approx(signal**0.5, abs=0.02)
    assert float(noised.var()) == pytest.approx(1.0, abs=0.05)
    assert torch.equal(noised, noised_image(image, 1.0))
    assert noised_image(image, 0.0) is image


def test_the_noise_on_a_picture_is_that_of_ten_seeds_below() -> None:
    image, seed = torch.zeros(2, 3, 4, 5), 3
    signal = (1 - torch.linspace(1e-4**0.5, 0.02**0.5, 1000, dtype=torch.float64) ** 2).cumprod(0)[70]
    drawn = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(2**64 + seed - 10))
    said = {"concat_image": image, "noise_augmentation": 0.2, "seed": seed}
    inputs = inputs_of(PUBLISHED["sd2-x4-upscaler"])(torch.zeros(1, 1, 1024), said, torch.zeros(2, 4, 4, 5))
    torch.testing.assert_close(inputs["concat"], (1 - signal).sqrt().float() * drawn)
    assert inputs["classes"].tolist() == [70]
    each = noised_image(image[:1], 0.2, [30, 31])
    for place, own in enumerate((30, 31)):
        assert torch.equal(each[place : place + 1], noised_image(image[:1], 0.2, own))
    # A depth map is no picture to be hidden.
    depth = torch.rand(1, 1, 16, 24)
    assert torch.equal(told("sd2-depth", {"concat_image": depth, "noise_augmentation": 0.5})["concat"], depth)


def test_transformers_take_pooled_text_and_guidance() -> None:
    features, pooled = torch.zeros(1, 7, 4096), torch.randn(1, 2048)
    like = torch.zeros(1, 16, 8, 8)
    assert torch.equal(inputs_of(SD3)(features, {"pooled_output": pooled}, like)["vector"], pooled)
    with pytest.raises(InvalidRequest, match="takes 768"):
        inputs_of(FLUX)(features, {"pooled_output": pooled}, like)
    assert inputs_of(FLUX)(features, {}, like)["guidance"].tolist() == [GUIDANCE]
    assert inputs_of(FLUX)(features, {"guidance": 2.0}, like)["guidance"].tolist() == [2.0]
    assert "guidance" not in inputs_of(replace(SCHNELL, unet=replace(FLUX.unet, guidance=False)))(features, {}, like)


def test_flux_fill_sees_every_pixel_of_the_mask() -> None:
    fill = replace(FLUX, unet=replace(FLUX.unet, in_channels=96))
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 3, 5] = 1
    said = {"concat_latent_image": torch.ones(1, 16, 8, 8), "concat_mask": mask}
    concat = inputs_of(fill)(torch.zeros(1, 1, 4096), said, torch.zeros(1, 16, 8, 8))["concat"]
    assert concat.shape == (1, 80, 8, 8)
    torch.testing.assert_close(concat[:, :16], torch.full((1, 16, 8, 8), (1 - 0.1159) * 0.3611))
    assert concat[0, 16:].sum() == 1
    assert concat[0, 16 + 3 * 8 + 5, 0, 0] == 1
    soft = inputs_of(fill)(torch.zeros(1, 1, 4096), {**said, "concat_mask": mask * 0.3}, torch.zeros(1, 16, 8, 8))
    assert float(soft["concat"][0, 16 + 3 * 8 + 5, 0, 0]) == pytest.approx(0.3)
    from_run = inputs_of(fill)(torch.zeros(1, 1, 4096), {"denoise_mask": mask[..., :8, :8]}, torch.zeros(1, 16, 8, 8))
    assert 0 < float(from_run["concat"][0, 16:].sum()) < 64 * 64


@pytest.mark.parametrize("name", ["sd1-inpaint", "sd1-instruct-pix2pix", "sd2-depth", "sd2-x4-upscaler", "sdxl"])
def test_a_network_of_the_kind_takes_what_it_is_given(name: str) -> None:
    row = PUBLISHED[name]
    config = replace(
        U_NETS[name],
        model_channels=32,
        channel_mult=(1,),
        num_res_blocks=1,
        transformer_depth=(1,),
        transformer_depth_middle=1,
        cross_only=(),
        heads=2,
        head_width=None,
        output_depth=(),
    )
    features = torch.randn(1, 5, config.context_width or 1)
    inputs = inputs_of(replace(row, unet=config, latent=LatentFormat()))(features, {}, LIKE)
    spread = {key: value.expand(2, *value.shape[1:]) for key, value in inputs.items()}
    assert UNet(config)(LIKE, torch.tensor([1.0, 2.0]), **spread).shape == LIKE.shape

"""Special models are told what they need, and the sampler hands it to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from app.diffusion.inputs import UNetInputs
from app.diffusion.models.bert import BertConfig
from app.diffusion.models.class_embedder import ClassEmbedder
from app.diffusion.models.layout_embedder import LayoutEmbedder
from app.diffusion.models.spatial_rescaler import SpatialRescaler
from app.diffusion.models.unet import UNet, UNetConfig
from app.errors import InvalidRequest

PICTURE = torch.rand(1, 70, 100, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def loaded(bench: Any) -> Any:
    return bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")


@pytest.fixture
def sides(bench: Any, loaded: Any) -> Any:
    return {side: bench("CLIPTextEncode", clip=loaded[1], text="red") for side in ("positive", "negative")}


def widened(model: Any, channels: int) -> Any:
    """The tiny model with further input channels, so that what it is told can be seen."""
    config = replace(model.network.config, in_channels=model.latent.channels + channels)
    network = UNet(config).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return replace(model, network=network, inputs=UNetInputs(config, model.latent))


def drawn(bench: Any, model: Any, positive: Any, negative: Any, latent: Any) -> torch.Tensor:
    """Two steps of the sampler."""
    inputs = {"positive": positive, "negative": negative, "latent_image": latent, "steps": 2, "cfg": 2.0}
    return bench("KSampler", model=model, sampler_name="euler", scheduler="simple", **inputs)["samples"]


def test_inpainting(bench: Any, loaded: Any, sides: Any) -> None:
    model, _, vae = loaded
    mask = torch.zeros(1, 70, 100)
    mask[:, :, 50:] = 1
    positive, negative, latent = bench("InpaintModelConditioning", **sides, vae=vae, pixels=PICTURE, mask=mask)
    said = positive[0][1]
    assert said["concat_latent_image"].shape == latent["samples"].shape == (1, 4, 8, 12)
    assert said["concat_mask"].shape == latent["noise_mask"].shape == (1, 1, 64, 96)
    assert not torch.equal(said["concat_latent_image"], latent["samples"])
    assert torch.equal(latent["samples"], vae.encode(PICTURE))
    free = bench("InpaintModelConditioning", **sides, vae=vae, pixels=PICTURE, mask=mask, noise_mask=False)[2]
    assert "noise_mask" not in free
    special = widened(model, 5)
    shown = drawn(bench, special, positive, negative, free)
    blind = drawn(bench, special, sides["positive"], sides["negative"], free)
    assert shown.shape == free["samples"].shape
    assert not torch.allclose(shown, blind)


def test_a_latent_with_a_mask_is_enough_for_an_inpainting_model(bench: Any, loaded: Any, sides: Any) -> None:
    """As VAE Encode (for Inpainting) and Set Latent Noise Mask give it, without any special conditioning."""
    model, _, vae = loaded
    special = widened(model, 5)
    mask = torch.zeros(1, 70, 100)
    mask[:, :, 50:] = 1
    latent = bench("VAEEncodeForInpaint", vae=vae, pixels=PICTURE, mask=mask)
    shown = drawn(bench, special, **sides, latent=latent)
    said = {"concat_latent_image": latent["samples"], "concat_mask": latent["noise_mask"]}
    yes, no = ([[features, {**options, **said}] for features, options in side] for side in sides.values())
    torch.testing.assert_close(shown, drawn(bench, special, yes, no, latent))
    other = bench("SetLatentNoiseMask", samples=latent, mask=1 - mask)
    assert not torch.allclose(shown, drawn(bench, special, **sides, latent=other))


def test_editing(bench: Any, loaded: Any, sides: Any) -> None:
    model, _, vae = loaded
    positive, negative, latent = bench("InstructPixToPixConditioning", **sides, vae=vae, pixels=PICTURE)
    assert torch.equal(positive[0][1]["concat_latent_image"], vae.encode(PICTURE))
    assert "concat_latent_image" in negative[0][1]
    assert not latent["samples"].any()
    assert drawn(bench, widened(model, 4), positive, negative, latent).shape == (1, 4, 8, 12)


def test_upscaling(bench: Any, sides: Any) -> None:
    positive, _, latent = bench("SD_4XUpscale_Conditioning", **sides, images=PICTURE, scale_ratio=4.0)
    assert latent["samples"].shape == (1, 4, 70, 100)
    assert positive[0][1]["concat_image"].shape == (1, 3, 70, 100)
    torch.testing.assert_close(positive[0][1]["concat_image"], PICTURE.movedim(-1, 1) * 2 - 1)
    half = bench("SD_4XUpscale_Conditioning", **sides, images=PICTURE, scale_ratio=2.0, noise_augmentation=0.5)
    assert half[2]["samples"].shape == (1, 4, 35, 50)
    assert half[0][0][1]["noise_augmentation"] == 0.5
    tiny = bench("SD_4XUpscale_Conditioning", **sides, images=PICTURE, scale_ratio=0.0)
    assert tiny[2]["samples"].shape == (1, 4, 1, 1)


def test_super_resolution_and_depth(bench: Any, loaded: Any, sides: Any) -> None:
    positive, _, latent = bench("LoomSuperResolutionConditioning", **sides, images=PICTURE)
    assert latent["samples"].shape == (1, 3, 70, 100)
    torch.testing.assert_close(positive[0][1]["concat_image"], PICTURE.movedim(-1, 1) * 2 - 1)
    positive, negative = bench("LoomDepthConditioning", **sides, depth=PICTURE * 0.2 + 0.3)
    near = positive[0][1]["concat_image"]
    assert (float(near.min()), float(near.max())) == (-1.0, 1.0)
    latent = {"samples": torch.zeros(1, 4, 8, 12)}
    assert drawn(bench, widened(loaded[0], 1), positive, negative, latent).shape == (1, 4, 8, 12)


def test_regions_see_their_part_of_the_picture(bench: Any, loaded: Any, sides: Any) -> None:
    """Channels beside the latent are cut as the latent is, or the sampler could not run."""
    model, _, vae = loaded
    positive, negative, latent = bench("InstructPixToPixConditioning", **sides, vae=vae, pixels=PICTURE)
    part = bench("ConditioningSetArea", conditioning=positive, width=64, height=64, x=24, y=0)
    both = bench("ConditioningCombine", conditioning_1=positive, conditioning_2=part)
    assert torch.isfinite(drawn(bench, widened(model, 4), both, negative, latent)).all()


def test_classes(bench: Any, loaded: Any) -> None:
    embedder = ClassEmbedder(11, 16)
    said = bench("LoomClassConditioning", clip=embedder, label=3)
    assert torch.equal(said[0][0][0, 0], embedder.embedding.weight[3])
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    none = bench("LoomClassConditioning", clip=embedder, label=10)
    assert drawn(bench, loaded[0], said, none, latent).shape == (1, 4, 8, 8)
    with pytest.raises(InvalidRequest, match="knows no classes"):
        bench("LoomClassConditioning", clip=loaded[1])


def test_boxes(bench: Any, loaded: Any) -> None:
    embedder = LayoutEmbedder(BertConfig(100, 16, 1, 8)).eval()
    said = bench("LoomLayoutConditioning", clip=embedder, boxes="3 0 0 0.5 0.5\n4 0.5 0.5 0.5 0.5")
    assert said[0][0].shape == (1, 8, 16)
    none = bench("LoomLayoutConditioning", clip=embedder, boxes="")
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    assert drawn(bench, loaded[0], said, none, latent).shape == (1, 4, 8, 8)
    with pytest.raises(InvalidRequest, match="knows no boxes"):
        bench("LoomLayoutConditioning", clip=loaded[1])


def test_models_that_are_told_nothing(bench: Any, loaded: Any) -> None:
    model = loaded[0]
    config = UNetConfig(4, 4, 16, (1,), 1, (1,), heads=2, context_width=None, pixel_attention=True, groups=8)
    network = UNet(config).eval()
    alone = replace(model, network=network, inputs=UNetInputs(config, model.latent))
    nothing = bench("LoomEmptyConditioning")
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    assert drawn(bench, alone, nothing, nothing, latent).shape == (1, 4, 8, 8)


def test_a_prompt_of_another_width_is_told_before_sampling(bench: Any, loaded: Any) -> None:
    model = widened(loaded[0], 4)
    wrong = [[torch.zeros(1, 4, 999), {}]]
    with pytest.raises(InvalidRequest, match="width 999"):
        drawn(bench, model, wrong, wrong, {"samples": torch.zeros(1, 4, 8, 8)})


def test_maps_of_classes(bench: Any, loaded: Any) -> None:
    rescaler = SpatialRescaler(11, 3)
    labels = torch.full((1, 32, 48, 3), 4 / 255)
    said, latent = bench("LoomSegmentationConditioning", clip=rescaler, labels=labels)
    assert said[0][1]["concat_image"].shape == latent["samples"].shape == (1, 3, 8, 12)
    with pytest.raises(InvalidRequest, match="class 255; the model knows 11"):
        bench("LoomSegmentationConditioning", clip=rescaler, labels=torch.ones(1, 32, 48, 3))
    with pytest.raises(InvalidRequest, match="no maps"):
        bench("LoomSegmentationConditioning", clip=loaded[1], labels=labels)

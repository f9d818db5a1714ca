from __future__ import annotations

from typing import Any

import pytest
import torch


def latent(count: int = 1, height: int = 16, width: int = 24, **more: Any) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(count)
    return {"samples": torch.randn(count, 4, height, width, generator=generator), **more}


def shape(value: Any) -> tuple[int, ...]:
    return tuple(value["samples"].shape)


def test_empty_latents_are_an_eighth_of_the_picture(bench: Any) -> None:
    assert shape(bench("EmptyLatentImage", width=512, height=768, batch_size=3)) == (3, 4, 96, 64)
    assert shape(bench("EmptySD3LatentImage", width=512, height=768)) == (1, 16, 96, 64)


@pytest.mark.parametrize(
    ("size", "wanted"), [((256, 128), (16, 32)), ((0, 64), (8, 12)), ((96, 0), (8, 12)), ((0, 0), (16, 24))]
)
def test_latents_are_resized_in_pixels(bench: Any, size: tuple[int, int], wanted: tuple[int, int]) -> None:
    resized = bench("LatentUpscale", samples=latent(), width=size[0], height=size[1])
    assert shape(resized)[-2:] == wanted


@pytest.mark.parametrize("method", ["nearest-exact", "bilinear", "area", "bicubic", "bislerp"])
def test_latents_are_resized_by_a_factor(bench: Any, method: str) -> None:
    assert shape(bench("LatentUpscaleBy", samples=latent(), upscale_method=method, scale_by=1.5)) == (1, 4, 24, 36)


def test_one_latent_on_another(bench: Any) -> None:
    below, above = latent(), {"samples": torch.full((1, 4, 4, 4), 9.0)}
    pasted = bench("LatentComposite", samples_to=below, samples_from=above, x=16, y=8)["samples"]
    assert bool((pasted[..., 1:5, 2:6] == 9).all())
    assert (pasted == 9).sum() == 64
    faded = bench("LatentComposite", samples_to=below, samples_from=above, x=16, y=8, feather=16)["samples"]
    assert bool((faded[..., 3, 4] != faded[..., 1, 2]).all())


def test_one_latent_on_another_through_a_mask(bench: Any) -> None:
    below, above = latent(), {"samples": torch.full((1, 4, 16, 24), 9.0)}
    mask = torch.zeros(16, 24)
    mask[:4] = 1
    pasted = bench("LatentCompositeMasked", destination=below, source=above, mask=mask)["samples"]
    assert bool((pasted[:, :, :4] == 9).all())
    assert torch.equal(pasted[:, :, 4:], below["samples"][:, :, 4:])
    small = {"samples": torch.full((1, 4, 1, 1), 9.0)}
    whole = bench("LatentCompositeMasked", destination=below, source=small, resize_source=True)["samples"]
    assert torch.allclose(whole, torch.tensor(9.0))


def test_arithmetic(bench: Any) -> None:
    a, b = latent(1), latent(2)
    one, two = a["samples"], b["samples"][:1]
    assert torch.allclose(bench("LatentAdd", samples1=a, samples2=b)["samples"], one + two)
    assert torch.allclose(bench("LatentSubtract", samples1=a, samples2=b)["samples"], one - two)
    assert torch.allclose(bench("LatentMultiply", samples=a, multiplier=-2.0)["samples"], one * -2)
    mixed = bench("LatentBlend", samples1=a, samples2=b, blend_factor=0.25)["samples"]
    assert torch.allclose(mixed, one * 0.25 + two * 0.75, atol=1e-6)


def test_interpolation_keeps_its_ends_and_its_contrast(bench: Any) -> None:
    a, b = latent(1), latent(2)
    end = bench("LatentInterpolate", samples1=a, samples2=b, ratio=1.0)["samples"]
    assert torch.allclose(end, a["samples"], atol=1e-5)
    middle = bench("LatentInterpolate", samples1=a, samples2=b, ratio=0.5)["samples"]
    assert middle.std() > (0.5 * a["samples"] + 0.5 * b["samples"][:1]).std()


def test_side_by_side_and_apart_again(bench: Any) -> None:
    a, b = latent(1), latent(1, width=8)
    wide = bench("LatentConcat", samples1=a, samples2=b, dim="x")
    assert shape(wide) == (1, 4, 16, 32)
    assert torch.equal(bench("LatentCut", samples=wide, dim="x", index=24, amount=8)["samples"], b["samples"])
    turned = bench("LatentConcat", samples1=a, samples2=b, dim="-x")
    assert torch.equal(bench("LatentCut", samples=turned, dim="x", index=-24, amount=99)["samples"], a["samples"])


def test_batches(bench: Any) -> None:
    both = bench("LatentBatch", samples1=latent(2), samples2=latent(3))
    assert shape(both)[0] == 5
    assert both["batch_index"] == [0, 1, 0, 1, 2]
    part = bench("LatentFromBatch", samples=both, batch_index=1, length=3)
    assert part["batch_index"] == [1, 0, 1]
    assert torch.equal(part["samples"], both["samples"][1:4])
    assert shape(bench("LatentFromBatch", samples=both, batch_index=63, length=64))[0] == 1


def test_repeating_gives_each_copy_noise_of_its_own(bench: Any) -> None:
    repeated = bench("RepeatLatentBatch", samples=latent(2, batch_index=[4, 6]), amount=2)
    assert shape(repeated)[0] == 4
    assert repeated["batch_index"] == [4, 6, 7, 9]


def test_batches_of_one_size(bench: Any) -> None:
    parts = bench("RebatchLatents", latents=[latent(3), latent(2), latent(1, width=8)], batch_size=[2])
    assert [shape(part)[0] for part in parts] == [2, 2, 1, 1]
    assert parts[1]["batch_index"] == [2, 0]


def test_the_items_of_a_batch_can_share_their_noise(bench: Any) -> None:
    fixed = bench("LatentBatchSeedBehavior", samples=latent(3), seed_behavior="fixed")
    assert fixed["batch_index"] == [0, 0, 0]
    assert "batch_index" not in bench("LatentBatchSeedBehavior", samples=fixed, seed_behavior="random")


def test_a_mask_is_put_beside_the_samples(bench: Any) -> None:
    given = latent()
    masked = bench("SetLatentNoiseMask", samples=given, mask=torch.ones(2, 8, 8))
    assert masked["noise_mask"].shape == (2, 1, 8, 8)
    assert "noise_mask" not in given


def test_cuts_flips_and_turns(bench: Any) -> None:
    given = latent(noise_mask=torch.ones(1, 1, 16, 24))
    samples = given["samples"]
    cropped = bench("LatentCrop", samples=given, width=64, height=64, x=16, y=8)
    assert torch.equal(cropped["samples"], samples[..., 1:9, 2:10])
    assert shape(bench("LatentCrop", samples=given, x=16384, y=16384))[-2:] == (8, 8)
    flipped = bench("LatentFlip", samples=given, flip_method="x-axis: vertically")
    assert torch.equal(flipped["samples"], samples.flip(-2))
    turned = bench("LatentRotate", samples=given, rotation="90 degrees")
    assert turned["noise_mask"].shape == (1, 1, 24, 16)
    assert torch.equal(turned["samples"][0, 0, 0], samples[0, 0, :, 0].flip(0)), "clockwise: the left column is on top"
    assert torch.equal(bench("LatentRotate", samples=turned, rotation="270 degrees")["samples"], samples)


@pytest.mark.parametrize("sampler_name", ["dpmpp_2m", "euler_ancestral", "dpmpp_2m_sde", "ddim"])
def test_per_image_noise_makes_a_picture_of_a_batch_alone(bench: Any, sampler_name: str) -> None:
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    said = bench("CLIPTextEncode", clip=clip, text="red")
    parts = {"model": model, "positive": said, "negative": said, "steps": 3, "cfg": 1.0, "sampler_name": sampler_name}

    def drawn(count: int, seed: int) -> Any:
        empty = bench("EmptyLatentImage", width=72, height=104, batch_size=count)
        each = bench("LatentBatchSeedBehavior", samples=empty, seed_behavior="per image")
        return bench("KSampler", **parts, latent_image=each, seed=seed)["samples"]

    batch = drawn(3, 5)
    for k in range(3):
        assert torch.allclose(batch[k : k + 1], drawn(1, 5 + k), atol=1e-4)
    assert not torch.allclose(batch[0], batch[1], atol=0.1)

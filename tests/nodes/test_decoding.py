from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from app.errors import InvalidRequest


@pytest.fixture
def vae(bench: Any) -> Any:
    return bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[2]


def test_latents_become_images(bench: Any, vae: Any) -> None:
    image = bench("VAEDecode", vae=vae, samples={"samples": torch.randn(2, 4, 3, 5)})
    assert image.shape == (2, 24, 40, 3)
    assert image.dtype == torch.float32
    assert 0 <= image.min() <= image.max() <= 1


def test_images_become_latents(bench: Any, vae: Any) -> None:
    latent = bench("VAEEncode", vae=vae, pixels=torch.rand(2, 17, 26, 4))
    assert latent["samples"].shape == (2, 4, 2, 3)


def test_encoding_twice_gives_the_same(bench: Any, vae: Any) -> None:
    pixels = torch.rand(1, 16, 16, 3)
    first, second = (bench("VAEEncode", vae=vae, pixels=pixels)["samples"] for _ in range(2))
    assert torch.equal(first, second)


def test_what_is_masked_is_erased_before_encoding(bench: Any, vae: Any) -> None:
    mask = torch.zeros(1, 16, 16)
    mask[:, :8, :8] = 1
    images = [torch.rand(1, 16, 16, 3) for _ in range(2)]
    images[1][:, 8:], images[1][:, :, 8:] = images[0][:, 8:], images[0][:, :, 8:]
    latents = [bench("VAEEncodeForInpaint", vae=vae, pixels=pixels, mask=mask, grow_mask_by=0) for pixels in images]
    assert torch.equal(latents[0]["samples"], latents[1]["samples"])
    assert torch.equal(latents[0]["noise_mask"][0], mask)


@pytest.mark.parametrize(
    ("node_id", "inputs", "told"),
    [
        ("VAEDecode", {"samples": {"samples": torch.zeros(1, 16, 2, 2)}}, "16 channels"),
        ("VAEEncode", {"pixels": torch.rand(1, 4, 4, 3)}, "too small"),
    ],
)
def test_what_does_not_fit_is_told(bench: Any, vae: Any, node_id: str, inputs: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequest, match=told) as error:
        bench(node_id, vae=vae, **inputs)
    assert error.value.remedy


def decibels(one: torch.Tensor, other: torch.Tensor) -> float:
    """Signal to noise, for values that lie about as far apart as 0 and 1; the processor may compute in bfloat16."""
    return -10 * math.log10(float((one - other).square().mean()) + 1e-12)


def test_tiles_decode_what_the_whole_decodes(bench: Any, vae: Any) -> None:
    latent = {"samples": torch.randn(2, 4, 24, 20)}
    whole = bench("VAEDecode", vae=vae, samples=latent)
    for size in (64, 128, 512):
        parts = bench("VAEDecodeTiled", vae=vae, samples=latent, tile_size=size, overlap=64)
        assert parts.shape == whole.shape
        assert decibels(parts, whole) > 40


def test_tiles_encode_in_the_form_of_the_whole(bench: Any, vae: Any) -> None:
    pixels = torch.rand(1, 130, 196, 3)
    whole = bench("VAEEncode", vae=vae, pixels=pixels)["samples"]
    assert whole.shape == (1, 4, 16, 24)
    for size in (64, 512):
        parts = bench("VAEEncodeTiled", vae=vae, pixels=pixels, tile_size=size, overlap=32)["samples"]
        assert parts.shape == whole.shape
        assert decibels(parts, whole) > 40

from __future__ import annotations

from typing import Any

import pytest
import torch

from app.diffusion.samplers import SAMPLERS
from app.diffusion.schedules.catalogue import SCHEDULES
from app.engine.events import Preview, Progress
from app.errors import Cancelled, InvalidRequest


@pytest.fixture
def parts(bench: Any) -> dict[str, Any]:
    """What a sampler is linked to."""
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    return {
        "model": model,
        "positive": bench("CLIPTextEncode", clip=clip, text="a red circle"),
        "negative": bench("CLIPTextEncode", clip=clip, text=""),
        "latent_image": bench("EmptyLatentImage", width=64, height=32, batch_size=2),
        "steps": 3,
    }


def test_a_seed_draws_one_picture_and_another_seed_another(bench: Any, parts: dict[str, Any]) -> None:
    first = bench("KSampler", **parts, seed=1)["samples"]
    assert first.shape == (2, 4, 4, 8)
    assert first.dtype == torch.float32
    assert torch.equal(bench("KSampler", **parts, seed=1)["samples"], first)
    assert not torch.equal(bench("KSampler", **parts, seed=2)["samples"], first)


def test_the_prompt_and_its_strength_count(bench: Any, parts: dict[str, Any]) -> None:
    plain = bench("KSampler", **parts, cfg=1.0)["samples"]
    assert not torch.allclose(bench("KSampler", **parts, cfg=5.0)["samples"], plain)
    swapped = {**parts, "positive": parts["negative"]}
    assert not torch.allclose(bench("KSampler", **swapped, cfg=1.0)["samples"], plain)


def test_every_step_is_told_and_shown(bench: Any, parts: dict[str, Any]) -> None:
    bench("KSampler", **parts)
    progress = [event for event in bench.heard if isinstance(event, Progress)]
    assert [(event.value, event.maximum) for event in progress] == [(1, 3), (2, 3), (3, 3)]
    assert any(isinstance(event, Preview) for event in bench.heard)


def test_cancelling_stops_within_a_step(bench: Any, parts: dict[str, Any]) -> None:
    bench.stop_after = 1
    with pytest.raises(Cancelled):
        bench("KSampler", **{**parts, "steps": 1000})
    assert len(bench.heard) <= 3


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_draws_numbers(bench: Any, parts: dict[str, Any], sampler: str) -> None:
    assert torch.isfinite(bench("KSampler", **parts, sampler_name=sampler)["samples"]).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_draws_numbers(bench: Any, parts: dict[str, Any], schedule: str) -> None:
    assert torch.isfinite(bench("KSampler", **parts, scheduler=schedule)["samples"]).all()


def test_no_denoising_changes_nothing(bench: Any, parts: dict[str, Any]) -> None:
    latent = {"samples": torch.randn(1, 4, 4, 4), "batch_index": [3]}
    drawn = bench("KSampler", **{**parts, "latent_image": latent}, denoise=0.0)
    assert torch.equal(drawn["samples"], latent["samples"])
    assert drawn["batch_index"] == [3]


def test_little_denoising_stays_near(bench: Any, parts: dict[str, Any]) -> None:
    latent = {"samples": torch.randn(1, 4, 4, 4)}
    near, far = (
        (
            bench("KSampler", **{**parts, "latent_image": latent, "cfg": 1.0}, denoise=d)["samples"] - latent["samples"]
        ).norm()
        for d in (0.05, 1.0)
    )
    assert near < far


def test_what_a_mask_leaves_out_is_kept(bench: Any, parts: dict[str, Any]) -> None:
    latent = {"samples": torch.randn(1, 4, 4, 4)}
    mask = torch.zeros(1, 4, 4)
    mask[:, :, 2:] = 1
    masked = bench("SetLatentNoiseMask", samples=latent, mask=mask)
    drawn = bench("KSampler", **{**parts, "latent_image": masked})["samples"]
    assert torch.allclose(drawn[..., :2], latent["samples"][..., :2], atol=1e-4)
    assert not torch.allclose(drawn[..., 2:], latent["samples"][..., 2:], atol=1e-2)


@pytest.mark.parametrize("node_id", ["EmptyLatentImage", "EmptySD3LatentImage"])
def test_an_empty_latent_of_any_kind_is_fitted(bench: Any, parts: dict[str, Any], node_id: str) -> None:
    empty = bench(node_id, width=64, height=64)
    assert bench("KSampler", **{**parts, "latent_image": empty})["samples"].shape == (1, 4, 8, 8)


def test_a_latent_of_another_model_is_told(bench: Any, parts: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="16 channels") as told:
        bench("KSampler", **{**parts, "latent_image": {"samples": torch.ones(1, 16, 4, 4)}})
    assert "VAE" in told.value.remedy


def test_values_that_are_no_numbers_are_told_with_what_made_them(bench: Any, parts: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=r"sampler euler.*cfg nan") as told:
        bench("KSampler", **{**parts, "cfg": float("nan")})
    assert "Lower cfg" in told.value.remedy


def test_the_parts_of_a_shared_work_make_the_whole(bench: Any, parts: dict[str, Any]) -> None:
    whole = bench("KSamplerAdvanced", **parts, noise_seed=5)["samples"]
    assert torch.allclose(whole, bench("KSampler", **parts, seed=5)["samples"])
    first = bench("KSamplerAdvanced", **parts, noise_seed=5, end_at_step=2, return_with_leftover_noise="enable")
    second = bench("KSamplerAdvanced", **{**parts, "latent_image": first}, start_at_step=2, add_noise="disable")
    assert torch.allclose(second["samples"], whole, atol=1e-4)


def test_stopping_early_without_leftover_noise_ends_clean(bench: Any, parts: dict[str, Any]) -> None:
    noisy, clean = (
        bench("KSamplerAdvanced", **parts, end_at_step=2, return_with_leftover_noise=leave)["samples"]
        for leave in ("enable", "disable")
    )
    assert not torch.allclose(noisy, clean)


def test_an_item_of_a_batch_can_be_drawn_again_alone(bench: Any, parts: dict[str, Any]) -> None:
    batch = bench("KSampler", **parts, seed=9)["samples"]
    alone = bench("LatentFromBatch", samples=parts["latent_image"], batch_index=1, length=1)
    again = bench("KSampler", **{**parts, "latent_image": alone}, seed=9)["samples"]
    assert torch.allclose(again[0], batch[1], atol=1e-5)

from __future__ import annotations

from typing import Any

import pytest
import torch

from app.diffusion.models.hooks import Place
from app.errors import InvalidRequest
from nodes.guidance import places_of


@pytest.fixture
def parts(bench: Any) -> dict[str, Any]:
    """A model, two prompts and an empty latent."""
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    return {
        "model": model,
        "positive": bench("CLIPTextEncode", clip=clip, text="red"),
        "negative": bench("CLIPTextEncode", clip=clip, text=""),
        "latent_image": bench("EmptyLatentImage", width=64, height=64),
    }


def drawn(bench: Any, parts: dict[str, Any], model: Any, **more: Any) -> torch.Tensor:
    given = {"cfg": 3.0, **parts, "model": model, "seed": 1, "steps": 2, "sampler_name": "euler", **more}
    return bench("KSampler", **given)["samples"]


@pytest.mark.parametrize(
    ("node_id", "options"),
    [
        ("RescaleCFG", {}),
        ("PerturbedAttentionGuidance", {}),
        ("SelfAttentionGuidance", {"blur_sigma": 1.0}),
        ("RenormCFG", {}),
        ("CFGZeroStar", {}),
        ("CFGNorm", {"strength": 0.9}),
        ("TCFG", {}),
        ("APG", {"eta": 0.0}),
        ("Epsilon Scaling", {}),
        ("FreSca", {"freq_cutoff": 1}),
        ("LoomDynamicThresholding", {"mimic_scale": 1.5}),
        ("LoomTiledSampling", {"tile_size": 64, "overlap": 32}),
    ],
)
def test_guidance_changes_the_picture_and_nothing_else(
    bench: Any, parts: dict[str, Any], node_id: str, options: dict[str, Any]
) -> None:
    if node_id == "LoomTiledSampling":
        parts["latent_image"] = bench("EmptyLatentImage", width=96, height=64)
    parts["cfg"] = 100.0  # the prompts of a network without training hardly differ
    usual = drawn(bench, parts, parts["model"])
    changed = bench(node_id, model=parts["model"], **options)
    assert changed.network is parts["model"].network
    result = drawn(bench, parts, changed)
    assert torch.isfinite(result).all()
    assert not torch.allclose(result, usual, atol=1e-5)
    assert torch.equal(drawn(bench, parts, parts["model"]), usual)


@pytest.mark.parametrize(
    ("node_id", "options"),
    [
        ("RescaleCFG", {"multiplier": 0.0}),
        ("PerturbedAttentionGuidance", {"scale": 0.0}),
        ("RenormCFG", {"renorm_cfg": 0.0}),
        ("SelfAttentionGuidance", {"scale": 0.0}),
        ("APG", {"norm_threshold": 0.0}),
        ("Epsilon Scaling", {"scaling_factor": 1.0}),
        ("FreSca", {"scale_high": 1.0}),
        ("LoomDynamicThresholding", {"mimic_scale": 3.0}),
        ("LoomTiledSampling", {"tile_size": 64}),
    ],
)
def test_settings_that_mean_nothing_change_nothing(
    bench: Any, parts: dict[str, Any], node_id: str, options: dict[str, Any]
) -> None:
    changed = bench(node_id, model=parts["model"], **options)
    assert torch.allclose(drawn(bench, parts, changed), drawn(bench, parts, parts["model"]), atol=1e-4)


def test_guidance_works_together(bench: Any, parts: dict[str, Any]) -> None:
    model = parts["model"]
    for node_id in ("RescaleCFG", "PerturbedAttentionGuidance", "CFGNorm", "Mahiro"):
        model = bench(node_id, model=model)
    assert torch.isfinite(drawn(bench, parts, model, sampler_name="euler_cfg_pp")).all()


def test_perp_neg_as_a_patch_and_as_a_guider_is_the_same(bench: Any, parts: dict[str, Any]) -> None:
    empty = bench("ConditioningZeroOut", conditioning=parts["negative"])
    patched = bench("PerpNeg", model=parts["model"], empty_conditioning=empty, neg_scale=0.7)
    latent = parts["latent_image"]
    given = {name: parts[name] for name in ("model", "positive", "negative")}
    guider = bench("PerpNegGuider", **given, empty_conditioning=empty, cfg=3.0, neg_scale=0.7)
    result, _ = bench(
        "SamplerCustomAdvanced",
        noise=bench("RandomNoise", noise_seed=1),
        guider=guider,
        sampler=bench("KSamplerSelect", sampler_name="euler"),
        sigmas=bench("BasicScheduler", model=parts["model"], scheduler="simple", steps=2),
        latent_image=latent,
    )
    assert torch.allclose(result["samples"], drawn(bench, parts, patched, scheduler="simple"), atol=1e-4)


def test_skipped_layers_are_numbers(bench: Any, parts: dict[str, Any]) -> None:
    assert places_of("7, 8,9", "joint") == [Place("joint", 7), Place("joint", 8), Place("joint", 9)]
    assert places_of("", "joint") == []
    with pytest.raises(InvalidRequest, match="'x' is no number"):
        bench("SkipLayerGuidanceSD3", model=parts["model"], layers="7, x")


def test_skipping_layers_says_which_and_when(bench: Any, parts: dict[str, Any]) -> None:
    changed = bench("SkipLayerGuidanceDiTSimple", model=parts["model"], double_layers="1", single_layers="2")
    hooks = changed.guidance.network_at(0.5, negative=True)
    assert hooks.left_out == {Place("double", 1), Place("joint", 1), Place("single", 2)}
    assert not changed.guidance.network_at(0.5)
    for node_id in ("SkipLayerGuidanceDiT", "SkipLayerGuidanceSD3"):
        assert len(bench(node_id, model=parts["model"]).guidance.after) == 1


def test_a_soft_mask_keeps_what_is_black_and_frees_what_is_white(bench: Any, parts: dict[str, Any]) -> None:
    picture = torch.full((1, 4, 8, 8), 0.5)
    mask = torch.cat([torch.zeros(1, 8, 4), torch.ones(1, 8, 4)], dim=2)
    latent = bench("SetLatentNoiseMask", samples={"samples": picture}, mask=mask)
    changed = bench("DifferentialDiffusion", model=parts["model"])
    result = drawn(bench, parts, changed, latent_image=latent)
    assert torch.allclose(result[..., :4], picture[..., :4], atol=1e-4)
    assert not torch.allclose(result[..., 4:], picture[..., 4:], atol=1e-2)


def test_renormed_guidance_counts_below_a_level_only(bench: Any, parts: dict[str, Any]) -> None:
    changed = bench("RenormCFG", model=parts["model"], cfg_trunc=0.0, renorm_cfg=0.0)
    alone = drawn(bench, parts, parts["model"], cfg=1.0)
    torch.testing.assert_close(drawn(bench, parts, changed, cfg=50.0), alone, rtol=1e-4, atol=1e-4)

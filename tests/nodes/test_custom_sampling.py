from __future__ import annotations

from typing import Any

import pytest
import torch

from app.engine.events import Progress


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


@pytest.mark.parametrize(
    "sampler_name", ["euler", "dpmpp_2m", "euler_ancestral", "dpmpp_2m_sde", "euler_cfg_pp", "cfgpp_ud10_ab"]
)
def test_the_parts_draw_what_ksampler_draws(bench: Any, parts: dict[str, Any], sampler_name: str) -> None:
    whole = bench("KSampler", **parts, seed=3, steps=4, cfg=3.0, sampler_name=sampler_name)["samples"]
    levels = bench("BasicScheduler", model=parts["model"], scheduler="simple", steps=4)
    sampler = bench("KSamplerSelect", sampler_name=sampler_name)
    custom, _ = bench("SamplerCustom", **parts, noise_seed=3, cfg=3.0, sampler=sampler, sigmas=levels)
    assert torch.equal(custom["samples"], whole)
    latent = parts.pop("latent_image")
    advanced, _ = bench(
        "SamplerCustomAdvanced",
        noise=bench("RandomNoise", noise_seed=3),
        guider=bench("CFGGuider", **parts, cfg=3.0),
        sampler=sampler,
        sigmas=levels,
        latent_image=latent,
    )
    assert torch.equal(advanced["samples"], whole)


@pytest.mark.parametrize(("sampler_name", "asked"), [("euler_cfg_pp", True), ("cfgpp_ud10_ab", False)])
def test_at_a_scale_of_1_the_negative_side_is_asked_where_the_sampler_wants_it(
    bench: Any, parts: dict[str, Any], sampler_name: str, asked: bool
) -> None:
    def drawn(negative: str, cfg: float) -> Any:
        given = {**parts, "negative": bench("CLIPTextEncode", clip=clip, text=negative)}
        return bench("KSampler", **given, seed=3, steps=4, cfg=cfg, sampler_name=sampler_name)["samples"]

    clip = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[1]
    assert torch.equal(drawn("", 1.0), drawn("blue green", 1.0)) is not asked
    assert not torch.equal(drawn("", 2.0), drawn("blue green", 2.0))


def test_two_samplers_share_the_work(bench: Any, parts: dict[str, Any]) -> None:
    levels = bench("BasicScheduler", model=parts["model"], scheduler="simple", steps=4)
    high, low = bench("SplitSigmas", sigmas=levels, step=2)
    rest = {
        "guider": bench("BasicGuider", model=parts["model"], conditioning=parts["positive"]),
        "sampler": bench("KSamplerSelect", sampler_name="euler"),
    }
    noise, empty = bench("RandomNoise", noise_seed=5), parts["latent_image"]
    whole, _ = bench("SamplerCustomAdvanced", noise=noise, sigmas=levels, latent_image=empty, **rest)
    first, answer = bench("SamplerCustomAdvanced", noise=noise, sigmas=high, latent_image=empty, **rest)
    second, _ = bench("SamplerCustomAdvanced", noise=bench("DisableNoise"), sigmas=low, latent_image=first, **rest)
    assert torch.allclose(second["samples"], whole["samples"], atol=1e-4)
    assert not torch.allclose(answer["samples"], first["samples"]), "the answer has no noise left in it"


def test_steps_are_told(bench: Any, parts: dict[str, Any]) -> None:
    sampler = bench("KSamplerSelect", sampler_name="euler")
    bench("SamplerCustom", **parts, sampler=sampler, sigmas=torch.tensor([1.0, 0.5, 0.0]))
    assert [event.value for event in bench.heard if isinstance(event, Progress)] == [1, 2]


def test_no_levels_change_nothing(bench: Any, parts: dict[str, Any]) -> None:
    sampler = bench("KSamplerSelect", sampler_name="euler")
    output, denoised = bench("SamplerCustom", **parts, sampler=sampler, sigmas=torch.zeros(0))
    assert not output["samples"].any()
    assert not denoised["samples"].any()


@pytest.mark.parametrize("node_id", ["SamplerEulerAncestral", "SamplerDPMPP_2M_SDE"])
def test_options_reach_the_sampler(bench: Any, parts: dict[str, Any], node_id: str) -> None:
    levels = bench("BasicScheduler", model=parts["model"], scheduler="simple", steps=3)
    drawn = [
        bench("SamplerCustom", **parts, sampler=bench(node_id, eta=eta, noise_device="cpu"), sigmas=levels)[0][
            "samples"
        ]
        for eta in (0.0, 1.0)
    ]
    assert not torch.allclose(*drawn)


def test_noise_is_the_seeds(bench: Any) -> None:
    latent = {"samples": torch.zeros(1, 4, 4, 4)}
    assert torch.equal(
        bench("RandomNoise", noise_seed=1).generate_noise(latent),
        bench("RandomNoise", noise_seed=1).generate_noise(latent),
    )
    assert not bench("DisableNoise").generate_noise(latent).any()


def advanced(bench: Any, parts: dict[str, Any], guider: Any, sampler: str = "euler") -> torch.Tensor:
    levels = bench("BasicScheduler", model=parts["model"], scheduler="simple", steps=2)
    given = {"noise": bench("RandomNoise", noise_seed=3), "latent_image": parts["latent_image"], "sigmas": levels}
    chosen = bench("KSamplerSelect", sampler_name=sampler)
    return bench("SamplerCustomAdvanced", **given, guider=guider, sampler=chosen)[0]["samples"]


@pytest.mark.parametrize("style", ["regular", "nested"])
def test_two_prompts_of_one_kind_are_guided_as_one(bench: Any, parts: dict[str, Any], style: str) -> None:
    """Where the first prompt says what the second does, its scale falls out of both formulas."""
    model, yes, no = parts["model"], parts["positive"], parts["negative"]
    both = bench(
        "DualCFGGuider",
        model=model,
        cond1=yes,
        cond2=yes,
        negative=no,
        cfg_conds=5.0,
        cfg_cond2_negative=3.0,
        style=style,
    )
    one = bench("CFGGuider", model=model, positive=yes, negative=no, cfg=3.0)
    assert torch.allclose(advanced(bench, parts, both), advanced(bench, parts, one), atol=1e-4)
    assert torch.isfinite(advanced(bench, parts, both, "euler_cfg_pp")).all()


def test_noise_is_added_as_a_sampler_adds_it(bench: Any, parts: dict[str, Any]) -> None:
    model = bench("ModelSamplingDiscrete", model=parts["model"], sampling="eps")
    latent, noise = {"samples": torch.full((1, 4, 8, 8), 0.5)}, bench("RandomNoise", noise_seed=3)
    format = model.latent
    drawn = noise.generate_noise(latent)
    for sigmas, scale in ((torch.tensor([4.0, 1.0]), 3.0), (torch.tensor([4.0]), 4.0)):
        noisy = bench("AddNoise", model=model, noise=noise, sigmas=sigmas, latent_image=latent)["samples"]
        assert torch.allclose(noisy, format.from_model(format.to_model(latent["samples"]) + scale * drawn), atol=1e-4)
    same = bench("AddNoise", model=model, noise=noise, sigmas=torch.zeros(0), latent_image=latent)["samples"]
    assert torch.equal(same, latent["samples"])


def test_ancestral_noise_of_cfg_pp_can_be_left_out(bench: Any, parts: dict[str, Any]) -> None:
    guider = bench("CFGGuider", **{name: parts[name] for name in ("model", "positive", "negative")}, cfg=1.5)
    levels = bench("BasicScheduler", model=parts["model"], scheduler="simple", steps=2)
    given = {"noise": bench("RandomNoise", noise_seed=3), "guider": guider, "latent_image": parts["latent_image"]}
    quiet = bench("SamplerEulerAncestralCFGPP", eta=0.0)
    result, _ = bench("SamplerCustomAdvanced", **given, sigmas=levels, sampler=quiet)
    assert torch.allclose(result["samples"], advanced(bench, parts, guider, "euler_cfg_pp"), atol=1e-4)

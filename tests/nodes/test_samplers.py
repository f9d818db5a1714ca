from __future__ import annotations

from typing import Any

import pytest
import torch

from app.diffusion.models.autoencoder_kl import AutoencoderConfig
from app.diffusion.models.autoencoder_vq import AutoencoderVQ
from app.errors import InvalidRequest


@pytest.fixture
def draw(bench: Any) -> Any:
    """draw(sampler, …) → the samples that a sampler makes of one seed."""
    model, clip, vae = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    said = bench("CLIPTextEncode", clip=clip, text="red")
    levels = bench("BasicScheduler", model=model, scheduler="simple", steps=4)

    def drawn(sampler: Any, count: int = 1) -> torch.Tensor:
        empty = bench("EmptyLatentImage", width=32, height=32, batch_size=count)
        given = {"model": model, "positive": said, "negative": said, "cfg": 1.0, "latent_image": empty}
        return bench("SamplerCustom", **given, noise_seed=3, sampler=sampler, sigmas=levels)[0]["samples"]

    drawn.model, drawn.vae = model, vae  # type: ignore[attr-defined]
    return drawn


@pytest.mark.parametrize(
    ("node_id", "name", "options"),
    [
        ("SamplerDPMPP_3M_SDE", "dpmpp_3m_sde", {"noise_device": "cpu"}),
        ("SamplerDPMPP_SDE", "dpmpp_sde", {"noise_device": "cpu"}),
        ("SamplerDPMPP_2S_Ancestral", "dpmpp_2s_ancestral", {}),
        ("SamplerLMS", "lms", {}),
        ("SamplerDPMAdaptative", "dpm_adaptive", {}),
        ("SamplerSASolver", "sa_solver", {"use_pece": False, "simple_order_2": False}),
        ("LoomSamplerDDIM", "ddim", {}),
    ],
)
def test_defaults_are_the_sampler_of_that_name(
    bench: Any, draw: Any, node_id: str, name: str, options: dict[str, Any]
) -> None:
    more = {"model": draw.model} if node_id == "SamplerSASolver" else {}
    own = draw(bench(node_id, **options, **more))
    assert torch.allclose(own, draw(bench("KSamplerSelect", sampler_name=name)), atol=1e-5)


@pytest.mark.parametrize(
    ("node_id", "first", "second"),
    [
        ("SamplerER_SDE", {"solver_type": "ER-SDE"}, {"solver_type": "ODE"}),
        ("SamplerLMS", {"order": 4}, {"order": 1}),
        ("SamplerDPMPP_SDE", {"r": 0.5}, {"r": 0.3}),
        ("LoomSamplerDDIM", {"eta": 1.0}, {"eta": 0.0}),
        ("LoomSamplerDDIM", {"eta": 1.0, "temperature": 0.5}, {"eta": 1.0}),
        ("LoomSamplerDDIM", {"eta": 1.0, "noise_dropout": 0.5}, {"eta": 1.0}),
    ],
)
def test_options_count(bench: Any, draw: Any, node_id: str, first: dict[str, Any], second: dict[str, Any]) -> None:
    assert not torch.allclose(draw(bench(node_id, **first)), draw(bench(node_id, **second)), atol=1e-4)


def test_no_temperature_is_no_noise(bench: Any, draw: Any) -> None:
    """With a temperature of 0 the mean of the chain is left, which repeats itself whatever the batch has drawn."""
    cold = bench("LoomSamplerDDIM", eta=1.0, temperature=0.0)
    assert not torch.allclose(draw(cold), draw(bench("LoomSamplerDDIM", eta=0.0)), atol=1e-4)


def test_the_first_multistep_sampler_draws(bench: Any, draw: Any) -> None:
    result = draw(bench("LoomSamplerPLMS"))
    assert torch.allclose(result, draw(bench("KSamplerSelect", sampler_name="lms")), atol=0.5)
    assert torch.isfinite(result).all()


@pytest.mark.parametrize("node_id", ["LoomSamplerDDIM", "LoomSamplerPLMS"])
def test_every_latent_vector_ends_in_the_codebook(bench: Any, draw: Any, node_id: str) -> None:
    class Vae:
        model = AutoencoderVQ(AutoencoderConfig(latent_channels=4, codes=16, channels=32, channel_mult=(1, 2)))

    result = draw(bench(node_id, quantize_denoised=Vae()))
    codes = Vae.model.quantize.embedding.weight.detach()
    own = draw.model.latent.to_model(result).movedim(1, -1).reshape(-1, 1, 4)
    assert (own - codes).abs().amax(-1).amin(-1).max() < 1e-4
    with pytest.raises(InvalidRequest, match="no codebook"):
        bench(node_id, quantize_denoised=draw.vae)


def test_a_place_before_the_step_is_refused(bench: Any) -> None:
    with pytest.raises(InvalidRequest, match="not above zero"):
        bench("SamplerDPMPP_SDE", r=0.0)


def test_both_versions_of_euler_with_cfg_pp(bench: Any, draw: Any) -> None:
    regular, alternative = (bench("SamplerEulerCFGpp", version=name) for name in ("regular", "alternative"))
    assert torch.equal(draw(regular), draw(bench("KSamplerSelect", sampler_name="euler_cfg_pp")))
    # Both prompts are the same here, so that guidance is nothing, once or twice.
    assert torch.allclose(draw(alternative), draw(bench("KSamplerSelect", sampler_name="euler")), atol=1e-5)


def test_guidance_counts_twice_in_the_alternative(bench: Any) -> None:
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    positive, negative = (bench("CLIPTextEncode", clip=clip, text=text) for text in ("red", ""))
    given = {"model": model, "positive": positive, "negative": negative, "noise_seed": 3}
    given["latent_image"] = {"samples": torch.zeros(1, 4, 4, 4)}
    given["sigmas"] = bench("BasicScheduler", model=model, scheduler="simple", steps=4)
    twice = bench("SamplerCustom", cfg=50.0, sampler=bench("SamplerEulerCFGpp", version="alternative"), **given)
    # d = u + 50 (c − u), so 2 d − u = u + 100 (c − u)
    once = bench("SamplerCustom", cfg=100.0, sampler=bench("KSamplerSelect", sampler_name="euler"), **given)
    torch.testing.assert_close(twice[0]["samples"], once[0]["samples"], rtol=1e-3, atol=1e-3)


def test_a_latent_that_grows(bench: Any, draw: Any) -> None:
    growing = draw(bench("SamplerLCMUpscale", scale_ratio=2.0), count=2)
    assert growing.shape == (2, 4, 8, 8)
    assert torch.isfinite(growing).all()
    assert torch.equal(growing, draw(bench("SamplerLCMUpscale", scale_ratio=2.0), count=2))
    same = draw(bench("SamplerLCMUpscale", scale_ratio=1.0, upscale_method="nearest-exact"))
    assert torch.allclose(same, draw(bench("KSamplerSelect", sampler_name="lcm")), atol=1e-5)


def test_a_latent_that_grows_keeps_regions_and_refuses_inpainting(bench: Any) -> None:
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    said = bench("CLIPTextEncode", clip=clip, text="red")
    region = bench("ConditioningSetAreaPercentage", conditioning=said, width=0.5, height=1.0)
    sampler = bench("SamplerLCMUpscale", scale_ratio=1.5, scale_steps=1)
    given = {"model": model, "positive": [*said, *region], "negative": said, "cfg": 2.0, "sampler": sampler}
    given["sigmas"] = bench("BasicScheduler", model=model, scheduler="simple", steps=3)
    latent = {"samples": torch.zeros(1, 4, 4, 6)}
    assert bench("SamplerCustom", latent_image=latent, **given)[0]["samples"].shape == (1, 4, 6, 9)
    with pytest.raises(InvalidRequest, match="changes the size"):
        bench("SamplerCustom", latent_image={**latent, "noise_mask": torch.ones(1, 1, 4, 6)}, **given)

from __future__ import annotations

import math

import pytest
import torch

from app.diffusion.guidance import Guided
from app.diffusion.noise import prepare_noise
from app.diffusion.parameterization import discrete, flow
from app.diffusion.samplers import SAMPLERS
from app.diffusion.sampling import Masked, fit_mask, initial_noise, sample, schedule_for, window
from app.diffusion.schedules import sigmas
from app.errors import InvalidRequest

SD = discrete()
LATENT = torch.zeros(2, 4, 8, 8)
NOISE = prepare_noise(LATENT, 1)


def towards(value: float):
    return lambda x, sigma: torch.full_like(x, value)


def result(steps) -> torch.Tensor:
    *_, step = steps
    return step.x


def test_sampling_starts_from_unit_variance_noise():
    """At the largest level noise is scaled by sqrt(1 + sigma²), not sigma."""
    seen = []

    def denoise(x, sigma):
        seen.append((x, sigma.item()))
        return x * 0

    result(sample(denoise, NOISE, LATENT, sigmas("karras", SD, 4), SAMPLERS["euler"], SD))
    x, sigma = seen[0]
    assert torch.allclose(x, NOISE * (1 + sigma**2) ** 0.5)


def test_a_later_start_adds_noise_to_the_latent():
    seen = []

    def denoise(x, sigma):
        seen.append((x, sigma.item()))
        return x * 0

    latent = LATENT + 0.3
    result(sample(denoise, NOISE, latent, sigmas("karras", SD, 4, denoise=0.5), SAMPLERS["euler"], SD))
    x, sigma = seen[0]
    assert sigma < SD.sigma_max
    assert torch.allclose(x, latent + NOISE * sigma)


@pytest.mark.parametrize("name", ["euler", "dpmpp_2m", "euler_ancestral", "dpmpp_sde", "uni_pc", "sa_solver"])
@pytest.mark.parametrize("sampling", [SD, flow(3.0)], ids=["eps", "flow"])
def test_any_sampler_on_any_process(name, sampling):
    spec = SAMPLERS[name]
    levels = schedule_for(spec, "simple", sampling, 8)
    steps = list(sample(towards(0.5), NOISE, LATENT, levels, spec, sampling, seed=3))
    assert len(steps) == 8
    assert torch.allclose(steps[-1].x, torch.full_like(LATENT, 0.5), atol=5e-3)


def test_the_same_seed_gives_the_same_bits():
    levels = sigmas("karras", SD, 5)
    runs = [
        result(sample(lambda x, s: x * 0.1, NOISE, LATENT, levels, SAMPLERS["dpmpp_2m_sde"], SD, seed=seed))
        for seed in (5, 5, 6)
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize("sampling", [SD, flow(3.0)], ids=["eps", "flow"])
def test_two_halves_are_the_whole(sampling):
    """Stop with noise left over, go on without adding any: KSamplerAdvanced's chain."""
    spec = SAMPLERS["euler"]

    def denoise(x, sigma):
        return x * 0.2 + 0.1

    whole = schedule_for(spec, "normal", sampling, 6)
    first = schedule_for(spec, "normal", sampling, 6, end=3)
    second = schedule_for(spec, "normal", sampling, 6, start=3)
    assert torch.equal(torch.cat([first, second[1:]]), whole)
    once = result(sample(denoise, NOISE, LATENT, whole, spec, sampling))
    half = result(sample(denoise, NOISE, LATENT, first, spec, sampling))
    again = result(sample(denoise, NOISE * 0, half, second, spec, sampling))
    assert torch.allclose(again, once, atol=1e-4)


def test_window_follows_ksampler_advanced():
    levels = torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0, 0.0])
    assert window(levels).tolist() == levels.tolist()
    assert window(levels, 2).tolist() == [3, 2, 1, 0]
    assert window(levels, 0, 10_000).tolist() == levels.tolist()
    assert window(levels, 1, 3).tolist() == [4, 3, 2]
    assert window(levels, 1, 3, force_full_denoise=True).tolist() == [4, 3, 0]
    assert len(window(levels, 5)) == 0
    assert levels[3] == 2.0


def test_no_strength_no_steps():
    spec = SAMPLERS["euler"]
    levels = schedule_for(spec, "karras", SD, 10, denoise=0.0)
    assert list(sample(towards(0.0), NOISE, LATENT, levels, spec, SD)) == []


def test_the_mask_keeps_exactly_what_it_should():
    latent = prepare_noise(LATENT, 8)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    done = result(sample(towards(0.5), NOISE, latent, sigmas("karras", SD, 6), SAMPLERS["euler"], SD, mask=mask))
    assert torch.allclose(done[..., 4:], latent[..., 4:], atol=1e-5)
    assert torch.allclose(done[..., :4], torch.full_like(done[..., :4], 0.5), atol=1e-4)


def test_masked_input_is_the_original_at_the_same_level():
    seen = []

    def denoise(x, sigma):
        seen.append(x)
        return x

    latent, sigma = prepare_noise(LATENT, 8), torch.tensor(2.0)
    Masked(denoise, lambda sigma: torch.zeros_like(latent), latent, NOISE, SD)(torch.zeros_like(latent), sigma)
    assert torch.allclose(seen[0], latent + 2 * NOISE)


def test_ddim_keeps_with_other_noise():
    seen = {}
    for name in ("euler", "ddim"):

        def denoise(x, sigma, name=name):
            seen.setdefault(name, x)
            return x * 0

        levels = sigmas("karras", SD, 3, denoise=0.5)
        mask = torch.zeros(1, 1, 8, 8)
        result(sample(denoise, NOISE, LATENT, levels, SAMPLERS[name], SD, mask=mask, seed=1))
    assert torch.allclose(seen["ddim"] / seen["euler"], prepare_noise(LATENT, 2) / NOISE, rtol=1e-3)


def test_a_mask_fits_any_latent():
    fitted = fit_mask(torch.ones(16, 16), LATENT)
    assert fitted.shape == LATENT.shape
    halves = fit_mask(torch.tensor([[[[0.0, 1.0]]], [[[1.0, 0.0]]]]).expand(2, 1, 2, 2), torch.zeros(3, 4, 2, 2))
    assert halves[:, 0, 0, 0].tolist() == [0.0, 1.0, 0.0]


def test_cfg_pp_needs_an_unconditional_half():
    spec, levels = SAMPLERS["euler_cfg_pp"], sigmas("karras", SD, 3)
    with pytest.raises(InvalidRequest, match="euler_cfg_pp"):
        list(sample(towards(0.0), NOISE, LATENT, levels, spec, SD))
    guided = Guided(lambda x, s: (x * 0 + 1, x * 0), lambda yes, no, x, s: yes)
    mask = torch.ones(1, 1, 8, 8)
    assert torch.allclose(result(sample(guided, NOISE, LATENT, levels, spec, SD, mask=mask)), LATENT + 1)


def test_a_sampler_that_can_do_without_an_unconditional_half_is_given_the_answer_twice():
    spec, levels, mask = SAMPLERS["cfgpp_ud10_ab"], sigmas("karras", SD, 5), torch.ones(1, 1, 8, 8)
    mask[..., :4] = 0
    alone = towards(0.5)
    guided = Guided(lambda x, s: (alone(x, s), alone(x, s)), lambda yes, no, x, s: yes)
    one, two = (result(sample(by, NOISE, LATENT, levels, spec, SD, mask=mask)) for by in (alone, guided))
    assert torch.equal(one, two)
    assert torch.allclose(one[..., 4:], torch.full_like(one[..., 4:], 0.5), atol=1e-4)
    assert torch.allclose(one[..., :4], LATENT[..., :4], atol=1e-4)


def test_options_win_over_defaults():
    spec, levels = SAMPLERS["euler_ancestral"], sigmas("karras", SD, 5)

    def denoise(x, s):
        return x * 0.1

    calm = result(sample(denoise, NOISE, LATENT, levels, spec, SD, options={"eta": 0.0}))
    plain = result(sample(denoise, NOISE, LATENT, levels, SAMPLERS["euler"], SD))
    assert torch.allclose(calm, plain, atol=1e-5)


def test_initial_noise_reads_the_latent():
    latent = {"samples": torch.zeros(1, 4, 8, 8), "batch_index": [2]}
    assert torch.equal(initial_noise(latent, 4), prepare_noise(torch.zeros(3, 4, 8, 8), 4)[2:])
    assert not initial_noise(latent, 4, add_noise=False).any()


@pytest.mark.parametrize("strength", [0.3, 0.6, 0.9])
def test_a_picture_as_the_start_pulls_the_result_by_a_known_share(strength):
    """On N(mean, s²) the way back from x_in + sigma·noise is affine, and its coefficients are known (but for the last
    jump to zero, which is worth 0.005 here).
    """
    s, mean, clean = 0.5, 1.5, torch.full((1, 1, 1, 1), -2.0)
    sampling, sampler = discrete(), SAMPLERS["heun"]
    levels = schedule_for(sampler, "karras", sampling, 300, denoise=strength).double()

    def denoise(x, sigma):
        return mean + (x - mean) * s**2 / (s**2 + sigma**2)

    def end(noise):
        *_, step = sample(denoise, torch.full_like(clean, noise), clean, levels, sampler, sampling)
        return step.x.item()

    first = levels[0].item()
    share = s / math.sqrt(s**2 + first**2)
    assert end(0.0) == pytest.approx(mean + share * (-2.0 - mean), abs=7e-3)
    assert end(1.0) - end(0.0) == pytest.approx(share * first, abs=7e-3)

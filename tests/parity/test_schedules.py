"""Noise levels, and what is mixed at them, equal those of diffusers' schedulers."""

from __future__ import annotations

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_edm_euler import EDMEulerScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from app.diffusion.inputs import noised_image
from app.diffusion.noise import noise_beside
from app.diffusion.parameterization import (
    EPS,
    ModelSampling,
    Prediction,
    V,
    betas,
    continuous_edm,
    discrete,
    flow,
    flux,
)
from app.diffusion.parameterization.model_sampling import flux_shift
from app.diffusion.schedules import sigmas

TRAINED = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
STEPS = 20

# name → the settings in diffusers that mean the same
SCHEDULES = {
    "karras": {"timestep_spacing": "linspace", "use_karras_sigmas": True},
    "exponential": {"timestep_spacing": "linspace", "use_exponential_sigmas": True},
    "normal": {"timestep_spacing": "linspace"},
    "simple": {"timestep_spacing": "trailing"},
}


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # diffusers' own
@pytest.mark.parametrize("name", SCHEDULES)
def test_levels_of_stable_diffusion(name: str) -> None:
    theirs = EulerDiscreteScheduler(**TRAINED, **SCHEDULES[name])
    theirs.set_timesteps(STEPS)
    torch.testing.assert_close(sigmas(name, discrete(), STEPS), theirs.sigmas, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("ours", "settings"),
    [
        (betas.linear(1000, 0.00085, 0.012), TRAINED),
        (betas.sqrt_linear(1000, 1e-4, 0.02), {"beta_schedule": "linear"}),
        (betas.linear(1000, 1e-4, 0.02), {"beta_schedule": "scaled_linear"}),
        (betas.linear(1000, 0.0015, 0.0195), {**TRAINED, "beta_start": 0.0015, "beta_end": 0.0195}),
        (betas.cosine(1000, 0.0, 1.0), {"beta_schedule": "squaredcos_cap_v2"}),
    ],
    ids=["stable diffusion", "ddpm", "upscaler", "latent diffusion", "unclip"],
)
def test_signals(ours: Tensor, settings: dict[str, object]) -> None:
    theirs = DDPMScheduler(**settings)  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(betas.signal_of(ours).float(), theirs.alphas_cumprod, rtol=1e-4, atol=1e-9)


def test_a_terminal_signal_of_zero() -> None:
    theirs = DDIMScheduler(**TRAINED, rescale_betas_zero_snr=True).alphas_cumprod
    ours = betas.zero_terminal(betas.signal_of(betas.linear(1000, 0.00085, 0.012)))
    torch.testing.assert_close(ours[:-1].float(), theirs[:-1], rtol=1e-4, atol=1e-6)
    assert float(theirs[-1]) == 0 < float(ours[-1]) < 1e-7


def test_levels_of_stable_diffusion_3() -> None:
    theirs = FlowMatchEulerDiscreteScheduler(shift=3.0)
    theirs.set_timesteps(STEPS)
    ours = sigmas("normal", flow(3.0), STEPS)
    torch.testing.assert_close(ours, theirs.sigmas, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(flow(3.0).timestep(ours[:-1]), theirs.timesteps, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("side", [512, 1024])
def test_the_shift_of_flux(side: int) -> None:
    theirs = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    tokens = (side // 16) ** 2
    mu = 0.5 + (1.15 - 0.5) * (tokens - 256) / (4096 - 256)
    assert flux_shift(side, side) == pytest.approx(mu)
    theirs.set_timesteps(sigmas=torch.linspace(1, 1 / STEPS, STEPS).tolist(), mu=mu)
    torch.testing.assert_close(sigmas("simple", flux(mu), STEPS), torch.as_tensor(theirs.sigmas), rtol=1e-5, atol=1e-6)


def test_edm_s_levels_times_and_preconditioning() -> None:
    theirs = EDMEulerScheduler()
    theirs.set_timesteps(STEPS)
    ours = continuous_edm()
    torch.testing.assert_close(sigmas("karras", ours, STEPS), theirs.sigmas, rtol=2e-5, atol=1e-6)
    x, output = torch.randn(2, 1, 4, 4), torch.randn(2, 1, 4, 4)
    for sigma in (0.01, 0.7, 30.0):
        level = torch.tensor(sigma)
        torch.testing.assert_close(ours.scaled_input(x, level), theirs.precondition_inputs(x, sigma))
        torch.testing.assert_close(ours.timestep(level), theirs.precondition_noise(level))
        torch.testing.assert_close(ours.denoised(x, level, output), theirs.precondition_outputs(x, output, sigma))


def one_step(sampling: ModelSampling, settings: dict[str, object]) -> tuple[Tensor, Tensor]:
    """x0 from a network's answer, in sigma coordinates with ours and in unit variance with diffusers'."""
    generator = torch.Generator().manual_seed(3)
    noisy, output = (torch.randn(1, 4, 5, 5, generator=generator) for _ in range(2))
    theirs = DDIMScheduler(**TRAINED, **settings, clip_sample=False)  # pyright: ignore[reportArgumentType]
    theirs.set_timesteps(1000)
    t = 600
    sigma = sampling.sigmas[t]
    # diffusers' latents have unit variance; ours are those times sqrt(sigma² + 1).
    ours = sampling.denoised(noisy * (sigma**2 + 1).sqrt(), sigma, output)
    return ours, theirs.step(output, t, noisy).pred_original_sample  # pyright: ignore


@pytest.mark.parametrize(("prediction", "called"), [(EPS, "epsilon"), (V, "v_prediction")])
@pytest.mark.parametrize("zero", [False, True])
def test_the_clean_latent_of_a_prediction(prediction: Prediction, called: str, zero: bool) -> None:
    sampling = discrete(prediction, zero_terminal_snr=zero)
    ours, theirs = one_step(sampling, {"prediction_type": called, "rescale_betas_zero_snr": zero})
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_upscaler_s_picture_is_noised() -> None:
    theirs = DDPMScheduler(beta_schedule="scaled_linear", beta_start=1e-4, beta_end=0.02)
    image = torch.rand(1, 3, 6, 6)
    expected = theirs.add_noise(image, noise_beside(image, 5), torch.tensor([70]))  # pyright: ignore
    torch.testing.assert_close(noised_image(image, 0.2, 5), expected)

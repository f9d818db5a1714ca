from __future__ import annotations

import pytest
import torch

from app.diffusion.parameterization.betas import linear
from app.diffusion.parameterization.chain import Chain

SD = Chain(linear(1000, 0.00085, 0.012))
RAMP = Chain(torch.arange(1, 101, dtype=torch.float64) / 100)
GENERATOR = torch.Generator().manual_seed(0)
CLEAN, NOISE = (torch.randn(4, 2, 3, dtype=torch.float64, generator=GENERATOR) for _ in range(2))
T = torch.tensor([0, 10, 500, 999])


def test_many_small_steps_are_one_jump():
    """Mean factor and variance of the chain, step by step, against the closed form."""
    factor, variance = 1.0, 0.0
    for beta in SD.betas[:300].tolist():
        factor, variance = factor * (1 - beta) ** 0.5, variance * (1 - beta) + beta
    mean, closed, _ = SD.marginal(torch.ones(1, 1), torch.tensor([299]))
    assert mean.item() == pytest.approx(factor)
    assert closed.item() == pytest.approx(variance)


def test_forms_turn_into_each_other():
    x = SD.noised(CLEAN, T, NOISE)
    assert torch.allclose(SD.clean_from_noise(x, T, NOISE), CLEAN)
    assert torch.allclose(SD.noise_from_clean(x, T, CLEAN), NOISE)
    assert torch.allclose(SD.clean_from_velocity(x, T, SD.velocity(CLEAN, T, NOISE)), CLEAN)


def test_float32_keeps_a_thousandth_at_the_end():
    clean, noise = CLEAN.float(), NOISE.float()
    back = SD.clean_from_noise(SD.noised(clean, T, noise), T, noise)
    assert back.dtype == torch.float32
    assert torch.allclose(back, clean, atol=1e-3)


def test_posterior_is_bayes_rule():
    """q(x_(t−1) | x_t, x0) ∝ q(x_t | x_(t−1))·q(x_(t−1) | x0): precisions add."""
    t = torch.tensor([400])
    x, clean = torch.tensor([[1.3]], dtype=torch.float64), torch.tensor([[0.4]], dtype=torch.float64)
    beta, before = SD.betas[400], SD.signal_before[400]
    precision = (1 - beta) / beta + 1 / (1 - before)
    expected = ((1 - beta).sqrt() / beta * x + before.sqrt() / (1 - before) * clean) / precision
    mean, variance, log_variance = SD.posterior(clean, x, t)
    assert torch.allclose(mean, expected)
    assert variance.item() == pytest.approx(1 / precision.item())
    assert log_variance.exp().item() == pytest.approx(variance.item())


def test_reverse_step_equals_the_papers_algorithm():
    """1/√α·(x − β/√(1 − ᾱ)·ε), Algorithm 2."""
    t = torch.tensor([1, 10, 500, 999])
    x = SD.noised(CLEAN, t, NOISE)
    beta, signal = (table[t].reshape(-1, 1, 1) for table in (SD.betas, SD.signal))
    expected = (x - beta / (1 - signal).sqrt() * NOISE) / (1 - beta).sqrt()
    assert torch.allclose(SD.posterior(CLEAN, x, t)[0], expected)


def test_the_last_step_adds_no_noise():
    x, t = SD.noised(CLEAN, T * 0, NOISE), T * 0
    assert torch.equal(SD.reverse(CLEAN, x, t, NOISE), SD.reverse(CLEAN, x, t, NOISE * 5))
    assert torch.allclose(SD.reverse(CLEAN, x, t, NOISE), CLEAN)
    assert SD.posterior(CLEAN, x, t)[2].unique().item() == pytest.approx(-46.05, abs=0.01)


def test_variance_moves_from_the_posteriors_to_beta():
    beta = Chain(linear(1000, 0.00085, 0.012), mix=1.0)
    assert torch.allclose(beta.posterior_variance, beta.betas)
    half = Chain(linear(1000, 0.00085, 0.012), mix=0.5)
    assert torch.allclose(half.posterior_variance, (SD.posterior_variance + SD.betas) / 2)


def test_marginals_of_the_two_dimensional_demonstration():
    """beta_t = t/100 on N((1, 2), diag(1, 2)): mean and variance after 10, 20 and 30 steps."""
    mean, variance = torch.tensor([[1.0, 2.0]], dtype=torch.float64), torch.tensor([1.0, 2.0], dtype=torch.float64)
    for steps, expected in ((10, (0.752, 1.504)), (20, (0.323, 0.646)), (30, (0.074, 0.148))):
        found, _, _ = RAMP.marginal(mean, torch.tensor([steps - 1]))
        assert found[0].tolist() == pytest.approx(expected, abs=2e-3)
    signal = RAMP.signal[9]
    assert (1 + signal * (variance - 1)).tolist() == pytest.approx([1.0, 1.565], abs=1e-3)


def test_ancestral_sampling_survives_a_step_without_signal():
    """The demonstration backwards: 100 steps with the ideal denoiser return the Gaussian, with beta as variance."""
    chain = Chain(RAMP.betas, mix=1.0)
    mean, variance = torch.tensor([1.0, 2.0], dtype=torch.float64), torch.tensor([1.0, 2.0], dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(20_000, 2, dtype=torch.float64, generator=generator)
    for step in range(99, -1, -1):
        signal = RAMP.signal[step]
        clean = mean + signal.sqrt() * variance / (signal * variance + 1 - signal) * (x - signal.sqrt() * mean)
        noise = torch.randn(x.shape, dtype=x.dtype, generator=generator)
        x = chain.reverse(clean, x, torch.full((len(x),), step), noise)
    assert x.mean(0).tolist() == pytest.approx(mean.tolist(), rel=0.05)
    assert x.var(0).tolist() == pytest.approx(variance.tolist(), rel=0.05)

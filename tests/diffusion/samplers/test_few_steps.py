from __future__ import annotations

import pytest
import torch

from app.diffusion.noise import GaussianNoise
from app.diffusion.process import FLOW
from app.diffusion.samplers.euler import euler_ancestral
from app.diffusion.samplers.few_steps import ddpm, lcm, lcm_growing


def test_ddpm_is_euler_ancestral(mixture, karras, final):
    x, sigmas = mixture.start(10.0), karras(9)
    ours = final(ddpm(mixture, x, sigmas, noise=GaussianNoise(x, 4)))
    assert torch.allclose(ours, final(euler_ancestral(mixture, x, sigmas, noise=GaussianNoise(x, 4))), atol=1e-12)


def test_ddpm_posterior_in_its_own_letters(final):
    """Mean and variance of q(x_next | x, x0), arXiv:2006.11239, Eq. 7, for one step."""
    sigma, after, x0, x = (torch.tensor(v, dtype=torch.float64) for v in (2.0, 1.0, 0.3, 1.9))
    signal, signal_next = 1 / (1 + sigma**2), 1 / (1 + after**2)
    alpha = signal / signal_next
    mean = signal_next.sqrt() * (1 - alpha) * x0 / (1 - signal)
    mean = mean + alpha.sqrt() * (1 - signal_next) / (1 - signal) * (x * signal.sqrt())
    deviation = ((1 - signal_next) / (1 - signal) * (1 - alpha)).sqrt()
    sigmas = torch.stack([sigma, after])
    for unit in (0.0, 1.0):
        ours = final(ddpm(lambda x, _: x0, x, sigmas, noise=lambda a, b, unit=unit: torch.tensor(unit)))
        assert torch.allclose(ours * signal_next.sqrt(), mean + unit * deviation)


def test_lcm_with_a_consistency_function_is_exact(final):
    """f(x, sigma) = mu + s/√(s² + sigma²)·(x − mu): every jump lands on the distribution itself."""
    mean, s = 1.0, 0.5
    sigmas = torch.tensor([14.6, 5.0, 2.0, 0.8, 0.3, 0.0], dtype=torch.float64)
    x = mean + 14.6 * torch.randn(100_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def consistency(x, sigma):
        return mean + s / (s**2 + sigma**2).sqrt() * (x - mean)

    result = final(lcm(consistency, x, sigmas, noise=GaussianNoise(x, 1)))
    assert result.mean().item() == pytest.approx(mean, abs=0.01)
    assert result.std().item() == pytest.approx(s, abs=0.01)


def test_lcm_on_a_flow_mixes_as_the_flow_does():
    x, sigmas = torch.zeros(3), torch.tensor([1.0, 0.25])
    *_, step = lcm(lambda x, _: torch.full((3,), 2.0), x, sigmas, noise=lambda a, b: torch.ones(3), process=FLOW)
    assert torch.allclose(step.x, torch.full((3,), 0.75 * 2 + 0.25))


def grown(x: torch.Tensor, width: int, height: int) -> torch.Tensor:
    return torch.nn.functional.interpolate(x, size=(height, width), mode="nearest")


@pytest.mark.parametrize(
    ("growing_steps", "sizes"),
    [(-1, [(10, 15), (12, 18), (12, 18)]), (3, [(9, 14), (11, 16), (12, 18)]), (0, [(8, 12)] * 3)],
)
def test_lcm_grows_by_equal_parts(growing_steps: int, sizes: list[tuple[int, int]]) -> None:
    x = torch.randn(1, 2, 8, 12)
    asked: list[tuple[int, ...]] = []

    def denoise(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        asked.append(tuple(x.shape[-2:]))
        return torch.full_like(x, 0.25)

    options = {"resize": grown, "ratio": 1.5, "growing_steps": growing_steps}
    steps = list(lcm_growing(denoise, x, torch.tensor([2.0, 1.0, 0.5, 0.0]), noise=GaussianNoise(x, 4), **options))
    assert [tuple(step.x.shape[-2:]) for step in steps] == sizes
    assert asked == [(8, 12), *sizes[:-1]]
    assert torch.equal(steps[-1].x, torch.full_like(steps[-1].x, 0.25))
    # Between the steps there is the answer, and noise of the level.
    again = GaussianNoise(x, 4)
    wanted = 0.25 + torch.tensor(1.0) * again.shaped(steps[0].x)(torch.tensor(2.0), torch.tensor(1.0))
    assert torch.equal(steps[0].x, wanted)

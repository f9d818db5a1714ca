from __future__ import annotations

import math

import pytest
import torch

from app.diffusion.denoiser import SplitDenoiser
from app.diffusion.guidance import blend, classifier_free, rescaled
from app.diffusion.guidance.classifier_free import Guided, batched, paired, rescaled_velocity, rows
from app.diffusion.samplers.euler import euler
from app.diffusion.schedules import curves
from app.errors import OutOfMemory

X = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
SIGMA = torch.tensor(2.0)


class Network:
    def __init__(self, most: int = 99):
        self.sizes, self.most = [], most

    def __call__(self, x, sigma, *, context):
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise OutOfMemory("too many")
        return x * 0.5 + context.mean(dim=(1, 2)).reshape(-1, 1, 1, 1)


YES, NO = {"context": torch.full((1, 3, 2), 0.7)}, {"context": torch.full((1, 3, 2), -0.2)}


def test_the_formula_in_one_call():
    network = Network()
    guided = classifier_free(network, YES, NO, 3.0)(X, SIGMA)
    assert network.sizes == [4]
    assert torch.allclose(guided, X * 0.5 - 0.2 + 3 * 0.9)


def test_scale_one_halves_the_work():
    network = Network()
    assert torch.allclose(classifier_free(network, YES, NO, 1.0)(X, SIGMA), X * 0.5 + 0.7)
    assert network.sizes == [2]


def test_no_memory_for_both_means_one_after_the_other():
    network = Network(most=2)
    guided = classifier_free(network, YES, NO, 3.0)(X, SIGMA)
    assert network.sizes == [4, 2, 2]
    assert torch.allclose(guided, classifier_free(Network(), YES, NO, 3.0)(X, SIGMA))


def test_prompts_of_other_lengths_run_apart():
    network = Network()
    longer = {"context": torch.full((1, 7, 2), -0.2)}
    classifier_free(network, YES, longer, 3.0)(X, SIGMA)
    assert network.sizes == [2, 2]


def test_batched_and_separate_agree():
    network = Network()
    together = batched(network, YES, NO)(X, SIGMA)
    apart = paired(lambda x, s: network(x, s, **YES), lambda x, s: network(x, s, **NO))(X, SIGMA)
    for a, b in zip(together, apart, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_a_guided_denoiser_tells_its_other_half():
    guided = Guided(lambda x, s: (x + 1, x), lambda yes, no, x, s: blend(yes, no, 2.0))
    assert isinstance(guided, SplitDenoiser)
    both, without = guided.split(X, SIGMA)
    assert torch.allclose(both, X + 2)
    assert torch.equal(without, X)
    assert torch.equal(guided(X, SIGMA), both)


def gaussian(mean: float, s: float):
    return lambda x, sigma: mean + s**2 / (s**2 + sigma**2) * (x - mean)


def test_guidance_moves_a_gaussian_to_scale_times_the_mean():
    """Equal variances: the result is N(scale·m, s²) exactly (Euler's limit)."""
    sigmas = curves.karras(1500, 1e-3, 2000.0).double()
    yes, no = gaussian(0.8, 0.5), gaussian(0.0, 0.5)
    guided = Guided(paired(yes, no), lambda a, b, x, s: blend(a, b, 3.0))
    starts = torch.tensor([-2000.0, 0.0, 2000.0], dtype=torch.float64)
    *_, step = euler(guided, starts, sigmas)
    assert step.x[1].item() == pytest.approx(3 * 0.8, abs=0.02)
    assert ((step.x[2] - step.x[0]) / 2).item() == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("scale", [2.0, 4.0])
def test_guidance_collapses_the_variance_geometrically(scale):
    """Unequal variances: std = s_c^scale · s_u^(1 − scale)."""
    sigmas = curves.karras(6000, 1e-4, 500.0, rho=12.0).double()
    guided = Guided(paired(gaussian(0.0, 0.5), gaussian(0.0, 2.0)), lambda a, b, x, s: blend(a, b, scale))
    *_, step = euler(guided, torch.tensor([500.0], dtype=torch.float64), sigmas)
    assert math.log2(step.x.item()) == pytest.approx(math.log2(0.5**scale * 2 ** (1 - scale)), abs=0.1)


def test_rescaling():
    guided, positive = 3 * X + 1, X
    full = rescaled(guided, positive, 1.0)
    axes = (1, 2, 3)
    assert torch.allclose(full.std(dim=axes), positive.std(dim=axes), atol=1e-5)
    assert torch.equal(rescaled(guided, positive, 0.0), guided)
    assert torch.allclose(rescaled(guided, positive, 0.5), (full + guided) / 2, atol=1e-5)


def test_rescaling_the_velocity_without_weight_is_plain_guidance():
    yes, no = X * 0.2, X * -0.1
    plain = rescaled_velocity(yes, no, X, SIGMA, scale=3.0, multiplier=0.0)
    assert torch.allclose(plain, blend(yes, no, 3.0), atol=1e-5)
    assert not torch.allclose(rescaled_velocity(yes, no, X, SIGMA, scale=3.0, multiplier=0.7), plain)


def test_rows_repeat_and_cut():
    value = torch.arange(2)[:, None]
    assert rows(value, 3).flatten().tolist() == [0, 1, 0]
    assert rows(value[:1], 3).flatten().tolist() == [0, 0, 0]
    assert rows(value, 1).flatten().tolist() == [0]

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from app.diffusion.guidance import Guided
from app.diffusion.process import FLOW, VE, Process
from app.diffusion.samplers.cfg_pp import euler_cfg_pp
from app.diffusion.samplers.cfg_pp_adams import cfgpp_ud10_ab
from app.diffusion.samplers.multistep import lms

Final = Callable[..., Tensor]


def guided(positive: Callable[..., Tensor], negative: Callable[..., Tensor]) -> Guided:
    """A denoiser whose guided answer is the positive one."""
    return Guided(lambda x, s: (positive(x, s), negative(x, s)), lambda yes, no, x, s: yes)


def tensor(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


# What ComfyUI's sampler (0.37) gives from (0.5, −1, 2, 0.25) for the two answers below: the table that the Dinkster
# project measured and published (tests/goldens/cfgpp_ud10_ab_95539f56.json).
PUBLISHED = [
    (
        VE,
        (14.614642, 6.0, 2.5, 1.0, 0.4, 0.0291675, 0.0),
        (0.03934933332348981, -0.07428717960501931, 0.16713877741995767, 0.019483299850203074),
    ),
    (
        FLOW,
        (0.98, 0.75, 0.5, 0.25, 0.1, 0.0),
        (0.3472071596521206, -0.5653960587224339, 1.745889851805635, 0.16749567810030647),
    ),
]


@pytest.mark.parametrize(("process", "levels", "results"), PUBLISHED, ids=["ve", "flow"])
def test_it_gives_what_was_published(
    final: Final, process: Process, levels: tuple[float, ...], results: tuple[float, ...]
) -> None:
    both = guided(
        lambda x, s: (x + 0.05 * x**2) / (1 + s),
        lambda x, s: 0.8 * x / (1.2 + s) - 0.03 * x**2 / (1 + s),
    )
    found = final(cfgpp_ud10_ab(both, tensor(0.5, -1.0, 2.0, 0.25), tensor(*levels), process=process))
    assert torch.allclose(found, tensor(*results), rtol=1e-13)


@pytest.mark.parametrize("process", [VE, FLOW], ids=["ve", "flow"])
def test_the_first_step_is_euler(mixture: Any, process: Process) -> None:
    both = guided(mixture, lambda x, s: mixture(x, s) * 0.5)
    x, sigmas = mixture.start(1.0), torch.linspace(0.9, 0, 5, dtype=torch.float64)
    first = next(cfgpp_ud10_ab(both, x, sigmas, process=process))
    assert torch.allclose(first.x, next(euler_cfg_pp(both, x, sigmas, process=process)).x, rtol=1e-14)
    assert first.index == 0
    assert torch.equal(first.denoised, mixture(x, sigmas[0]))


def test_without_its_weights_it_is_euler(mixture: Any, karras: Any, final: Final) -> None:
    both = guided(mixture, lambda x, s: mixture(x, s) * 0.5)
    x, sigmas = mixture.start(10.0), karras(9)[:-1]
    bare = final(cfgpp_ud10_ab(both, x, sigmas, noise_weight=0.0, slope_weight=0.0))
    assert torch.allclose(bare, final(euler_cfg_pp(both, x, sigmas)), rtol=1e-12)


def test_its_slope_is_that_of_adams_and_bashforth(mixture: Any, karras: Any, final: Final) -> None:
    """Without guidance and with the whole of the second order it is LMS of order 2 on any grid."""
    x, sigmas = mixture.start(10.0), karras(9)[:-1]
    whole = final(cfgpp_ud10_ab(mixture, x, sigmas, noise_weight=0.0, slope_weight=1.0))
    assert torch.allclose(whole, final(lms(mixture, x, sigmas, order=2)), rtol=1e-10)


@pytest.mark.parametrize(("slope_weight", "order"), [(0.25, 1.0), (1.0, 2.0)])
def test_order_without_the_extrapolated_noise(orders: Any, slope_weight: float, order: float) -> None:
    assert orders.slope(cfgpp_ud10_ab, 128, noise_weight=0.0, slope_weight=slope_weight) == pytest.approx(
        order, abs=0.15
    )


def test_its_limit_is_a_flow_of_its_own(karras: Any, final: Final) -> None:
    """The extrapolated noise does not vanish with small steps: the limit is dx = (e + 0.1·sigma·de/dsigma)·dsigma.

    For data N(0, v) the noise is e = g·x with g = sigma / (v + sigma²), so that both flows have a closed form.
    """
    v, high, low = 0.25, 10.0, 0.1

    def growth(s: float) -> float:
        g, bend = s / (v + s**2), (v - s**2) / (v + s**2) ** 2
        return (g + 0.1 * s * bend) / (1 - 0.1 * s * g)

    shrunk = math.exp(quad(growth, high, low)[0])
    exact = math.sqrt((v + low**2) / (v + high**2))
    assert abs(shrunk / exact - 1) > 0.02, "it is another flow than the model's"

    def error(steps: int) -> float:
        sigmas = tensor(*(karras(steps + 1, low, high)[:-1].tolist()))
        x = final(cfgpp_ud10_ab(lambda x, s: x * v / (v + s**2), tensor(1.0), sigmas))
        return abs(x.item() - shrunk)

    assert math.log2(error(200) / error(400)) == pytest.approx(1.0, abs=0.15)
    assert error(400) < 0.05 * abs(shrunk - exact)


def test_the_last_step_follows_the_answers_to_zero(final: Final) -> None:
    """Answers on a line in sigma end where that line meets zero, whatever the latent is."""
    sigmas = tensor(4.0, 2.5, 1.0, 0.0)
    assert final(cfgpp_ud10_ab(lambda x, s: 0.3 + 0.2 * s + 0 * x, tensor(5.0), sigmas)).item() == pytest.approx(0.3)


def test_a_single_step_to_zero_is_the_answer(final: Final) -> None:
    assert final(cfgpp_ud10_ab(lambda x, s: 0.3 * x, tensor(5.0), tensor(4.0, 0.0))).item() == pytest.approx(1.5)


def test_one_evaluation_a_step_and_no_chance(mixture: Any, karras: Any, final: Final) -> None:
    seen: list[float] = []

    def counted(x: Tensor, sigma: Tensor) -> Tensor:
        seen.append(sigma.item())
        return mixture(x, sigma)

    sigmas = karras(7)
    results = [final(cfgpp_ud10_ab(counted, mixture.start(10.0), sigmas)) for _ in range(2)]
    assert torch.equal(*results)
    assert seen == 2 * sigmas[:-1].tolist()


def test_where_nothing_guides_the_answer_stands_for_the_unconditional_one(
    mixture: Any, karras: Any, final: Final
) -> None:
    x, sigmas = mixture.start(10.0), karras(6)
    alone = final(cfgpp_ud10_ab(mixture, x, sigmas))
    assert torch.equal(alone, final(cfgpp_ud10_ab(guided(mixture, mixture), x, sigmas)))


def test_a_flow_from_pure_noise_stays_finite(final: Final) -> None:
    x = torch.randn(8, generator=torch.Generator().manual_seed(0))
    both = guided(lambda x, s: x * 0 + 1.0, lambda x, s: x * 0 + 0.5)
    steps = list(cfgpp_ud10_ab(both, x, torch.linspace(1, 0, 7), process=FLOW))
    assert all(bool(torch.isfinite(step.x).all()) for step in steps)
    # The answers do not change, so neither does their line.
    assert torch.allclose(steps[-1].x, torch.ones(8))


def test_a_flow_is_a_straight_line_for_a_fixed_answer() -> None:
    """Where both sides say the same, a flow of one picture is x = (1 − sigma)·x0 + sigma·noise at every step."""
    noise, sigmas = tensor(0.7, -1.2), torch.linspace(1, 0, 6, dtype=torch.float64)
    target = tensor(0.25, 2.0)
    for step in cfgpp_ud10_ab(lambda x, s: target, noise, sigmas, process=FLOW):
        after = sigmas[step.index + 1]
        assert torch.allclose(step.x, (1 - after) * target + after * noise)

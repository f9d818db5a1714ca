from __future__ import annotations

import math

import pytest
import torch

from app.diffusion.parameterization import betas
from app.diffusion.parameterization.times import (
    BEYOND_START,
    AngleClock,
    CascadeClock,
    DiscreteClock,
    EdmClock,
    FlowClock,
    FluxClock,
)

SD = DiscreteClock(betas.signal_of(betas.linear(1000, 0.00085, 0.012)))
CLOCKS = [SD, FlowClock(3.0), FluxClock(), EdmClock(0.002, 80.0), AngleClock(0.03, 500.0), CascadeClock(2.0)]
NAMES = ["sd", "flow", "flux", "edm", "v", "cascade"]


@pytest.mark.parametrize("clock", CLOCKS, ids=NAMES)
def test_tables_rise(clock):
    assert clock.sigmas.dtype == torch.float32
    assert bool((clock.sigmas.diff() >= 0).all())


@pytest.mark.parametrize("clock", CLOCKS, ids=NAMES)
def test_percents_fall_from_beyond_the_start_to_zero(clock):
    levels = [clock.percent_to_sigma(p) for p in (-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, 2.0)]
    start = 1.0 if isinstance(clock, FlowClock) else BEYOND_START
    assert levels[:2] == [start, start]
    assert levels[-2:] == [0.0, 0.0]
    assert levels == sorted(levels, reverse=True)


def test_discrete_times_are_the_nearest_index():
    assert torch.equal(SD.timestep(SD.sigmas), torch.arange(1000.0))
    assert SD.timestep(torch.tensor(1e6)).item() == 999
    between = (SD.sigmas[500] * SD.sigmas[501]).sqrt()
    assert SD.sigma(torch.tensor(500.5)).item() == pytest.approx(between.item(), rel=1e-5)
    assert SD.sigma(torch.tensor(2000.0)).item() == pytest.approx(SD.sigmas[-1].item())
    assert SD.percent_to_sigma(0.5) == pytest.approx(SD.sigma(torch.tensor(499.5)).item(), rel=1e-5)


def test_flow_times():
    clock = FlowClock(3.0)
    assert clock.sigmas[499].item() == pytest.approx(3 * 0.5 / (1 + 2 * 0.5))
    assert clock.timestep(torch.tensor(0.25)).item() == 250
    assert FlowClock(1.0, 1.0).timestep(torch.tensor(0.25)).item() == 0.25
    assert clock.percent_to_sigma(0.25) == pytest.approx(3 * 0.75 / (1 + 2 * 0.75))


def test_flux_times():
    clock = FluxClock(1.15)
    assert len(clock.sigmas) == 10_000
    assert clock.sigmas[4999].item() == pytest.approx(math.exp(1.15) / (math.exp(1.15) + 1), rel=1e-5)
    assert clock.timestep(torch.tensor(0.3)).item() == pytest.approx(0.3)


@pytest.mark.parametrize("clock", [EdmClock(0.002, 80.0), AngleClock(0.03, 500.0), CascadeClock(1.0)])
def test_continuous_times_are_inverse(clock):
    levels = clock.sigmas[100:900:50]
    assert torch.allclose(clock.sigma(clock.timestep(levels)), levels, rtol=2e-3)


def test_edm_and_angle_formulas():
    assert EdmClock(0.002, 80.0).timestep(torch.tensor(2.0)).item() == pytest.approx(math.log(2) / 4)
    assert AngleClock(0.03, 500.0).timestep(torch.tensor(1.0)).item() == pytest.approx(0.5)


def test_cascade_shift_halves_the_ratio_of_signal():
    """The shift moves the log signal-to-noise ratio by 2·ln(1/shift): sigma grows by the shift itself."""
    t = torch.tensor(0.5)
    assert (CascadeClock(2.0).sigma(t) / CascadeClock(1.0).sigma(t)).item() == pytest.approx(2.0, rel=1e-3)

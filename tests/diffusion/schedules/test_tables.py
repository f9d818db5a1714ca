from __future__ import annotations

import pytest
import torch

from app.diffusion.parameterization import V, discrete, flow, flux
from app.diffusion.schedules import tables

SD = discrete()


def test_simple_counts_back_from_the_noisiest():
    levels = tables.simple(SD, 7)
    assert levels.tolist() == [SD.sigmas[-(1 + int(i * 1000 / 7))].item() for i in range(7)] + [0.0]


def test_simple_on_flux_takes_its_larger_table():
    levels = tables.simple(flux(), 4)
    assert levels[0] == 1.0
    assert levels[2].item() == pytest.approx(flux().percent_to_sigma(0.5), rel=1e-3)


def test_normal_and_sgm_uniform_are_even_in_time():
    assert torch.allclose(SD.timestep(tables.normal(SD, 4)[:-1]), torch.tensor([999.0, 666.0, 333.0, 0.0]))
    times = torch.tensor([999.0, 749.25, 499.5, 249.75])
    assert torch.allclose(tables.sgm_uniform(SD, 4)[:-1], SD.sigma(times))


def test_a_flow_is_shifted_twice_by_time_uniform_schedules():
    """A quirk kept on purpose: the first shift is in the time, the second in sigma(time)."""
    levels = tables.sgm_uniform(flow(3.0), 2)
    half = (1 + 3 * 0.001 / 1.002) / 2
    assert levels[1].item() == pytest.approx(3 * half / (1 + 2 * half), rel=1e-4)


def test_normal_uses_the_tables_own_zero():
    levels = tables.normal(discrete(V, zero_terminal_snr=True), 4)
    assert len(levels) == 5
    assert levels[0].item() == pytest.approx(4518.76, rel=1e-3)


def test_ddim_uniform_keeps_its_stride():
    levels = tables.ddim_uniform(SD, 7)
    assert len(levels) == 9
    assert levels[0] == SD.sigmas[1 + 142 * 7]
    assert levels[-2] == SD.sigmas[1]
    assert len(tables.ddim_uniform(SD, 10)) == 11


def test_beta_levels_are_quantiles():
    stats = pytest.importorskip("scipy.stats")
    levels = tables.beta(SD, 6)
    expected = [round(stats.beta.ppf(1 - i / 6, 0.6, 0.6) * 999) for i in range(6)]
    assert levels.tolist() == [SD.sigmas[i].item() for i in expected] + [0.0]


def test_beta_drops_equal_neighbours():
    assert len(tables.beta(SD, 3000)) < 3001


def test_turbo_visits_its_ten_times():
    assert tables.turbo(SD, 1).tolist() == pytest.approx([SD.sigma_max, 0.0])
    assert torch.allclose(SD.timestep(tables.turbo(SD, 10)[:-1]), torch.arange(999.0, 0, -100))
    assert SD.timestep(tables.turbo(SD, 2, denoise=0.5)[:-1]).tolist() == [499.0, 399.0]

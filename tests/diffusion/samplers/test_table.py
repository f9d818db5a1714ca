"""The tables of docs/samplers.md hold what is measured here; every sampler's name has its place in them."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from app.diffusion.parameterization import discrete
from app.diffusion.samplers import SAMPLERS
from app.diffusion.samplers.catalogue import sampler_named
from app.diffusion.samplers.plms import plms
from app.diffusion.sampling import schedule_for

PAGE = (Path(__file__).parents[3] / "docs/samplers.md").read_text()
SD = discrete()
# Without noise these follow the flow's ODE.
QUIET = {
    **{name: {"eta": 0.0} for name in ("dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde", "dpmpp_2s_ancestral")},
    **{name: {"eta": 0.0} for name in ("dpmpp_sde", "seeds_2", "seeds_3")},
    **{name: {"tau": lambda sigma: 0.0} for name in ("sa_solver", "sa_solver_pece")},
}
NOISELESS = {"dpmpp_2s_ancestral", "dpmpp_sde", "dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde"}


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a header that begins so."""
    lines = PAGE[PAGE.index(heading) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names(cell: str) -> list[str]:
    """The samplers that a row is about."""
    return re.findall(r"[a-z][a-z0-9_]+", re.sub(r"\(.*?\)|stochastic throughout", "", cell))


ODE = rows("| sampler | calls |")
SDE = rows("| sampler | N = 8 | 16 | 32 | 64 | 128 | slope |")


def test_every_name_is_in_a_table_or_is_said_to_equal_one_that_is() -> None:
    told = {name for row in [*ODE, *SDE] for name in names(row[0])}
    for name in SAMPLERS:
        plain = name.removesuffix("_gpu").removesuffix("_cfg_pp")
        assert plain in told or f"`{plain}`" in PAGE, name


def errors(orders: Any, name: str, counts: tuple[int, ...]) -> list[float]:
    """Of a sampler by name, without noise."""
    if name == "plms":
        return orders.errors(plms, counts)
    spec = sampler_named(name)
    noise = {"noise": lambda sigma, sigma_next: 0.0} if name in NOISELESS else {}
    return orders.errors(spec.function, counts, **spec.defaults, **QUIET.get(name, {}), **noise)


@pytest.mark.parametrize("row", ODE, ids=lambda row: row[0])
def test_the_errors_are_those_of_the_page(row: list[str], orders: Any) -> None:
    first, *others = names(row[0])
    shown, slope = [float(cell) for cell in row[2:8]], row[8]
    found = errors(orders, first, (8, 16, 32, 64, 128, 256))
    assert found == pytest.approx(shown, rel=0.06), f"measured: {[f'{e:.1e}' for e in found]}"
    if slope != "uneven":
        assert math.log2(found[4] / found[5]) == pytest.approx(float(slope), abs=0.02)
    for name in others:
        assert errors(orders, name, (8, 16)) == pytest.approx(found[:2], rel=1e-6)


@pytest.mark.parametrize("row", SDE, ids=lambda row: row[0])
def test_the_variances_are_those_of_the_page(row: list[str], probe: Any) -> None:
    shown = [float(cell.replace("−", "-").removesuffix(" %")) for cell in row[1:6]]
    name = names(row[0])[0]
    spec = sampler_named(name)
    brownian = spec.noise.startswith("brownian")
    found = [
        100 * probe.error(spec.function, steps, brownian=brownian, **spec.defaults) for steps in (8, 16, 32, 64, 128)
    ]
    assert found == pytest.approx(shown, rel=0.02, abs=6e-4), f"measured: {[f'{e:+.3g}' for e in found]}"


LEAGUE = rows("| sampler | karras: 6 |")
# The schedules of the columns, and how often the model is asked.
COLUMNS = [*(("karras", count) for count in (6, 10, 20, 40)), ("simple", 10), ("simple", 20)]
COLUMNS += [("kl_optimal", 10), ("kl_optimal", 20)]


@pytest.fixture(scope="module")
def flow_of_stable_diffusion(mixture: Any) -> tuple[Any, Any]:
    """Forty-eight starts at the first level, and where the flow takes them."""
    start = mixture.start(SD.sigma_max, 48)
    return start, mixture.reference(start, SD.sigma_max, 1e-4)


@pytest.mark.parametrize("row", LEAGUE, ids=lambda row: row[0])
def test_the_league_is_that_of_the_page(
    row: list[str], mixture: Any, flow_of_stable_diffusion: tuple[Any, Any]
) -> None:
    shown = [float(cell.strip("*")) for cell in row[1:9]]
    spec = sampler_named(names(row[0])[0])
    start, end = flow_of_stable_diffusion
    noise = {"noise": lambda sigma, sigma_next: 0.0} if spec.name in NOISELESS else {}
    found: list[float] = []
    for schedule, evaluations in COLUMNS:
        levels = schedule_for(spec, schedule, SD, round(evaluations / spec.evaluations)).double()
        *_, step = spec.function(mixture, start, levels, **spec.defaults, **QUIET.get(spec.name, {}), **noise)
        found.append(float((step.x - end).square().mean().sqrt()))
    assert found == pytest.approx(shown, rel=0.06), f"measured: {[f'{e:.2g}' for e in found]}"

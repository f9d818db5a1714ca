"""The schedules that a sampler node offers by name, in ComfyUI's order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from app.diffusion.parameterization import ModelSampling
from app.diffusion.schedules import curves, tables
from app.errors import InvalidRequest

Schedule = Callable[[ModelSampling, int], Tensor]


def _between(curve: Callable[[int, float, float], Tensor]) -> Schedule:
    """A curve from the model's largest to its smallest level."""
    return lambda sampling, steps: curve(steps, sampling.sigma_min, sampling.sigma_max)


SCHEDULES: Mapping[str, Schedule] = MappingProxyType(
    {
        "simple": tables.simple,
        "sgm_uniform": tables.sgm_uniform,
        "karras": _between(curves.karras),
        "exponential": _between(curves.exponential),
        "ddim_uniform": tables.ddim_uniform,
        "beta": tables.beta,
        "normal": tables.normal,
        "linear_quadratic": lambda sampling, steps: curves.linear_quadratic(steps, sampling.sigma_max),
        "kl_optimal": _between(curves.kl_optimal),
    }
)
DEFAULT_SCHEDULE = "simple"

# From here on a denoise strength counts as 1.
WHOLE = 0.9999


def sigmas(
    name: str, sampling: ModelSampling, steps: int, *, denoise: float = 1.0, discard_penultimate: bool = False
) -> Tensor:
    """The named schedule for this model, float32 [steps + 1] on the CPU.

    denoise < 1 keeps the last `steps` steps of a schedule of ⌊steps / denoise⌋; denoise ≤ 0 gives no level at all.
    `discard_penultimate` leaves out the last level above zero of a schedule one step longer, for samplers that would
    evaluate below it. Raises InvalidRequest for an unknown name.
    """
    if name not in SCHEDULES:
        raise InvalidRequest(f"No schedule is called {name!r}.", remedy=f"Choose one of: {', '.join(SCHEDULES)}.")
    if denoise <= 0 or steps < 1:
        return torch.zeros(0)
    total = steps if denoise > WHOLE else int(steps / denoise)
    levels = SCHEDULES[name](sampling, total + discard_penultimate)
    if discard_penultimate:
        levels = torch.cat([levels[:-2], levels[-1:]])
    return levels if denoise > WHOLE else levels[-(steps + 1) :]

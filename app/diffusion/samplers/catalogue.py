"""Every sampler that a node offers by name, in ComfyUI's order, with what it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from app.diffusion.denoiser import Step
from app.diffusion.samplers.dpmpp import dpmpp_2m
from app.diffusion.samplers.euler import euler, euler_ancestral
from app.diffusion.samplers.heun import heun
from app.errors import InvalidRequest

SamplerFunction = Callable[..., Iterator[Step]]


@dataclass(frozen=True)
class SamplerSpec:
    """A sampler and how to call it.

    `noise` says what noise it draws: none of its own, independent draws, or Brownian increments on the CPU or on the
    model's device. `uses_process` tells that its formulas differ between variance-exploding and flow models.
    `inpaint_noise_offset`: added to the seed for the noise of what an inpaint mask keeps; None keeps the first noise.
    """

    name: str
    function: SamplerFunction
    defaults: Mapping[str, Any] = field(default_factory=dict)
    evaluations: int = 1
    noise: Literal["none", "optional", "gaussian", "brownian", "brownian_device"] = "none"
    uses_process: bool = False
    uses_cfg_pp: bool = False
    needs_extra_sigma: bool = False
    inpaint_noise_offset: int | None = None

    @property
    def stochastic(self) -> bool:
        """Whether two runs from the same noise can differ by their step noise."""
        return self.noise not in ("none", "optional")


_SPECS = (
    SamplerSpec("euler", euler, noise="optional"),
    SamplerSpec("euler_ancestral", euler_ancestral, noise="gaussian", uses_process=True),
    SamplerSpec("heun", heun, evaluations=2, noise="optional"),
    SamplerSpec("dpmpp_2m", dpmpp_2m),
    SamplerSpec("ddim", euler, noise="optional", inpaint_noise_offset=1),
)
SAMPLERS: Mapping[str, SamplerSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
DEFAULT_SAMPLER = "euler"


def sampler_named(name: str) -> SamplerSpec:
    """The sampler of this name; raises InvalidRequest that lists the names."""
    if name not in SAMPLERS:
        raise InvalidRequest(f"No sampler is called {name!r}.", remedy=f"Choose one of: {', '.join(SAMPLERS)}.")
    return SAMPLERS[name]

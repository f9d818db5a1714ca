"""`comfy.k_diffusion.sampling`: samplers as functions, and the pieces that packs build their own from.

A pack adds a sampler by setting `sample_<name>` here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from app.diffusion.noise import BrownianNoise
from app.diffusion.samplers import SAMPLERS
from app.diffusion.schedules import curves


def __getattr__(name: str) -> Any:
    """sample_<name> of each of our samplers."""
    spec = SAMPLERS.get(name.removeprefix("sample_")) if name.startswith("sample_") else None
    if spec is None:
        raise AttributeError(f"module 'comfy.k_diffusion.sampling' has no attribute {name!r}")
    from app.extend.facade.comfy.ksamplers import as_function

    return as_function(spec)


def append_dims(x: Tensor, target_dims: int) -> Tensor:
    """x with trailing axes up to that many."""
    return x.reshape(*x.shape, *(1 for _ in range(target_dims - x.ndim)))


def append_zero(x: Tensor) -> Tensor:
    """The levels and a final zero."""
    return torch.cat([x, x.new_zeros(1)])


def to_d(x: Tensor, sigma: Tensor, denoised: Tensor) -> Tensor:
    """The slope dx/dsigma that a clean latent means."""
    return (x - denoised) / append_dims(sigma, x.ndim)


def get_ancestral_step(sigma_from: Any, sigma_to: Any, eta: float = 1.0) -> tuple[Any, Any]:
    """(level to step down to, noise to add); eta as in DDIM (arXiv:2010.02502, Eq. 16)."""
    if not eta:
        return sigma_to, 0.0
    variance = sigma_to**2 * (sigma_from**2 - sigma_to**2) / sigma_from**2
    up = min(sigma_to, eta * variance**0.5)
    return (sigma_to**2 - up**2) ** 0.5, up


def default_noise_sampler(x: Tensor, seed: int | None = None) -> Callable[[Any, Any], Tensor]:
    """Independent noise for each request."""
    generator = None
    if seed is not None:
        generator = torch.Generator(x.device).manual_seed(seed + (x.device.type == "cpu"))
    return lambda sigma, sigma_next: torch.randn(
        x.shape, dtype=x.dtype, device=x.device, layout=x.layout, generator=generator
    )


class BrownianTreeNoiseSampler:
    """Increments of one Brownian path between the levels, of unit variance."""

    def __init__(
        self,
        x: Tensor,
        sigma_min: Any,
        sigma_max: Any,
        seed: int | None = None,
        transform: Callable[[Any], Any] = lambda x: x,
        cpu: bool = False,
    ) -> None:
        self.transform = transform
        low, high = (float(transform(torch.as_tensor(level))) for level in (sigma_min, sigma_max))
        self._noise = BrownianNoise(
            x, int(torch.randint(0, 2**62, ())) if seed is None else seed, low, high, "cpu" if cpu else None
        )

    def __call__(self, sigma: Any, sigma_next: Any) -> Tensor:
        levels = [self.transform(torch.as_tensor(level)) for level in (sigma, sigma_next)]
        return self._noise(levels[0], levels[1])


def get_sigmas_karras(n: int, sigma_min: float, sigma_max: float, rho: float = 7.0, device: Any = "cpu") -> Tensor:
    """Eq. 5 of arXiv:2206.00364, and a final zero."""
    return curves.karras(n, float(sigma_min), float(sigma_max), rho).to(device)


def get_sigmas_exponential(n: int, sigma_min: float, sigma_max: float, device: Any = "cpu") -> Tensor:
    """Evenly in the logarithm, and a final zero."""
    return curves.exponential(n, float(sigma_min), float(sigma_max)).to(device)

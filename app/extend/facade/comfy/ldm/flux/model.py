"""`comfy.ldm.flux.model`: the transformer of Flux, by which packs tell it from others."""

from __future__ import annotations

from app.diffusion.models.flux import Flux
from app.diffusion.models.flux import FluxConfig as FluxParams

__all__ = ["Flux", "FluxParams"]

"""`comfy.ldm.modules.diffusionmodules.mmdit`: the transformer of Stable Diffusion 3."""

from __future__ import annotations

from app.diffusion.models.mmdit import JointBlock, MMDiT

__all__ = ["JointBlock", "MMDiT"]

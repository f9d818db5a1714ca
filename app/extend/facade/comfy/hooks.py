"""`comfy.hooks`: what HOOKS links carry, changes of weights for a prompt of their own."""

from __future__ import annotations

from app.diffusion.guidance.weight_hooks import WeightHooks as HookGroup

__all__ = ["HookGroup"]

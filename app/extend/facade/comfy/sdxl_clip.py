"""`comfy.sdxl_clip`: by these packs tell text encoders with CLIP bigG from others.

They are kinds of our text encoders: `isinstance(clip.cond_stage_model, SDXLClipModel)` is true of SDXL's two towers.
"""

from __future__ import annotations

from typing import Any, cast

from torch import nn

BIG = 1280  # the width of CLIP bigG
LARGE = 768  # and of CLIP L


def tower_widths(model: Any) -> dict[str, int]:
    """The towers of a text encoder by name, each with its width."""
    towers = cast("Any", model).items() if isinstance(model, nn.ModuleDict) else [("", model)]
    return {name: int(getattr(getattr(tower, "config", None), "width", 0)) for name, tower in towers}


class _TwoTowers(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return sorted(tower_widths(instance).values()) == [LARGE, BIG] and set(tower_widths(instance)) == {"l", "g"}


class _BigAlone(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return not isinstance(instance, nn.ModuleDict) and list(tower_widths(instance).values()) == [BIG]


class SDXLClipModel(metaclass=_TwoTowers):
    """The text encoder of SDXL: CLIP L and bigG."""


class SDXLRefinerClipModel(metaclass=_BigAlone):
    """The text encoder of SDXL's refiner: CLIP bigG alone."""


class SDXLClipG(metaclass=_BigAlone):
    """CLIP bigG."""

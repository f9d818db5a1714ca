"""`comfy_extras.chainner_models.model_loading`: an upscaler from its tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from app.diffusion.upscaling import Upscaler
from app.weights.stored import WeightsFile, held
from app.weights.upscaler import upscaler_of


def load_state_dict(state_dict: Mapping[str, Tensor]) -> Upscaler:
    """The network that draws pictures larger. Raises UnusableFile, UnknownFamily."""
    with torch.inference_mode(False):
        return upscaler_of(WeightsFile("the pack's tensors", held(state_dict), {}))

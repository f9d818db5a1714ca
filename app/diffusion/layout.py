"""Lays a network's weights out as the processor that runs it reads them fastest."""

from __future__ import annotations

import torch
from torch import nn

from app.diffusion.models.convolution import NARROWEST, Conv3x3
from app.diffusion.models.narrow import NarrowWeight
from app.diffusion.models.second_form import SecondForm


def is_wide(module: nn.Module) -> bool:
    """Whether the module is a convolution that is quickest with its weights in channels-last order."""
    if not isinstance(module, nn.Conv2d) or (isinstance(module, NarrowWeight) and module.is_narrow):
        return False
    return min(module.in_channels, module.out_channels) >= NARROWEST


def prepare(network: nn.Module, spare_bytes: int = 0) -> int:
    """Put wide convolutions' weights in channels-last order, and let those that fit keep a quicker second form.

    Values do not change. Returns how many of `spare_bytes` the second forms will take once all were used. Those of
    convolutions come first, which gain most, and the narrowest of them, as they work at the highest resolutions.
    """
    for module in network.modules():
        if is_wide(module):
            weight = module.get_parameter("weight")
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    layers = [module for module in network.modules() if isinstance(module, SecondForm) and module.second_form_bytes]
    taken = 0
    for layer in sorted(layers, key=lambda layer: (not isinstance(layer, Conv3x3), layer.second_form_bytes)):
        layer.quick = taken + layer.second_form_bytes <= spare_bytes
        taken += layer.second_form_bytes if layer.quick else 0
    return taken

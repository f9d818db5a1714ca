"""A network that computes what another does, with more channels.

Every channel stands there several times, and what a layer gathers from it is shared at random among its likenesses
(Chen, Goodfellow & Shlens 2016, arXiv:1511.05641). So a small trained network shows what rounding does to pictures in
layers that are wide enough for the quick kernels.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import torch
from torch import Tensor

from app.diffusion.models.unet import UNet


def widened(network: UNet, times: int) -> UNet:
    """A U-Net with `times` as many channels and the same heads, that gives the same."""
    config = network.config
    assert config.head_width is not None  # as many heads then, each as many times as wide
    wider = replace(config, model_channels=config.model_channels * times, head_width=config.head_width * times)
    with torch.device("meta"):
        wide = UNet(wider)
    generator = torch.Generator().manual_seed(0)
    values = network.state_dict()
    state = {
        name: _grown(name, values[name].float(), like.shape, generator) for name, like in wide.state_dict().items()
    }
    wide.load_state_dict(state, assign=True)
    return wide.eval().requires_grad_(False)


def _grown(name: str, value: Tensor, shape: torch.Size, generator: torch.Generator) -> Tensor:
    if name == "time_embed.0.weight":  # the narrow network's frequencies are among those of the wide one
        spread = value.new_zeros(value.shape[0], shape[1])
        spread[:, :: shape[1] // value.shape[1]] = value
        value = spread
    value = value.repeat_interleave(shape[0] // value.shape[0], 0)
    if value.ndim > 1 and shape[1] > value.shape[1]:
        times = shape[1] // value.shape[1]
        shares = torch.rand(*value.shape[:2], times, generator=generator) + 0.5
        shares = (shares / shares.sum(2, keepdim=True)).flatten(1)
        value = value.repeat_interleave(times, 1) * shares.view(*shares.shape, *[1] * (value.ndim - 2))
        if name.endswith("to_q.weight"):  # sums over heads that are wider are larger, and divided by more
            value = value / sqrt(times)
    return value

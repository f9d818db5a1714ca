"""Hypernetworks: small networks that change what keys and values of attention are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from app.diffusion.guidance.hooks import NetworkAt
from app.diffusion.models.hooks import Looking, NetworkHooks, Sources

# By the names that training writes; "swish" there is its piecewise form.
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "linear": lambda x: x,
        "relu": functional.relu,
        "leakyrelu": functional.leaky_relu,
        "elu": functional.elu,
        "swish": functional.hardswish,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "celu": functional.celu,
        "gelu": functional.gelu,
        "hardshrink": functional.hardshrink,
        "hardsigmoid": functional.hardsigmoid,
        "hardswish": functional.hardswish,
        "hardtanh": functional.hardtanh,
        "logsigmoid": functional.logsigmoid,
        "mish": functional.mish,
        "relu6": functional.relu6,
        "selu": functional.selu,
        "silu": functional.silu,
        "softplus": functional.softplus,
        "softshrink": functional.softshrink,
        "softsign": functional.softsign,
        "tanhshrink": functional.tanhshrink,
    }
)


@dataclass(frozen=True, slots=True)
class Layer:
    """x W + b, then perhaps an activation, then perhaps a normalisation with scale and shift."""

    weight: Tensor
    bias: Tensor
    activation: str = "linear"
    norm: tuple[Tensor, Tensor] | None = None

    def like(self, x: Tensor) -> Layer:
        """The layer where x is, in its precision."""
        norm = None if self.norm is None else (self.norm[0].to(x), self.norm[1].to(x))
        return Layer(self.weight.to(x), self.bias.to(x), self.activation, norm)

    def __call__(self, x: Tensor) -> Tensor:
        x = ACTIVATIONS[self.activation](functional.linear(x, self.weight, self.bias))
        return x if self.norm is None else functional.layer_norm(x, x.shape[-1:], *self.norm)


Pair = tuple[Sequence[Layer], Sequence[Layer]]


@dataclass(frozen=True, slots=True)
class Hypernetwork:
    """For each width of what is looked at, the layers for its keys and those for its values."""

    pairs: Mapping[int, Pair]

    def hooks(self, strength: float) -> NetworkAt:
        """x + strength · layers(x) in place of x, in every attention of a width that it knows."""
        # Kept where and as the network computes, so that a step copies nothing.
        placed: dict[tuple[int, torch.device, torch.dtype], Pair] = {}

        def sources(looking: Looking, given: Sources) -> Sources:
            x, keys, values = given
            width = keys.shape[-1]
            if width not in self.pairs:
                return given
            key = width, keys.device, keys.dtype
            if key not in placed:
                ours, theirs = self.pairs[width]
                placed[key] = [layer.like(keys) for layer in ours], [layer.like(keys) for layer in theirs]
            return x, _moved(keys, placed[key][0], strength), _moved(values, placed[key][1], strength)

        hooks = NetworkHooks(sources=(sources,)).row_by_row()  # two that place the same layers place equal ones
        return lambda sigma: hooks


def _moved(x: Tensor, layers: Sequence[Layer], strength: float) -> Tensor:
    y = x
    for layer in layers:
        y = layer(y)
    return x + strength * y

"""Layers that keep their weights in fewer bits than they compute in, and make them wide while they compute."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

SAVED = torch.bfloat16  # the precision in which such weights are written and given to whoever reads them by name


class NarrowWeight(nn.Module):
    """What such layers share. One that was made wide for good (`widen`) computes as any other.

    `narrow_types` are those that weights have while they are kept in fewer bits.
    """

    narrow_types: tuple[torch.dtype, ...] = ()

    @property
    def stored(self) -> nn.Parameter:
        """The weight as it is kept."""
        return self.get_parameter("weight")

    @property
    def is_narrow(self) -> bool:
        """Whether the weight is kept in fewer bits now."""
        return self.stored.dtype in self.narrow_types

    @property
    def wide_shape(self) -> tuple[int, ...]:
        """The shape of the weight's values."""
        return tuple(self.stored.shape)

    def wide(self, dtype: torch.dtype) -> Tensor:
        """The weight's values."""
        return self.stored.to(dtype)

    def change(self, changed: Callable[[Tensor], Tensor], *, grows: bool = False) -> None:
        """Let the weight be what `changed` makes of its values in float32; `grows` where that has another shape."""
        self.widen(changed(self.wide(torch.float32)))

    def widen(self, value: Tensor) -> None:
        """Take these values as they are, whatever they take."""
        self.register_parameter("weight", nn.Parameter(value.detach(), requires_grad=False))

    @contextmanager
    def holding(self, value: Tensor) -> Generator[None]:
        """Inside, the weight has these values."""
        before = self.stored
        self.widen(value)
        try:
            yield
        finally:
            self.register_parameter("weight", before)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)  # pyright: ignore[reportUnknownMemberType]
        if self.is_narrow:
            destination[f"{prefix}weight"] = self.wide(SAVED)


def narrow_layer(network: nn.Module, name: str) -> NarrowWeight | None:
    """The layer that keeps this parameter in fewer bits, None for any other parameter."""
    path, _, leaf = name.rpartition(".")
    layer = network.get_submodule(path)
    return layer if leaf == "weight" and isinstance(layer, NarrowWeight) and layer.is_narrow else None


def weight_shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shapes of all parameters' values by their names, however they are kept."""
    return {name: shape_of(network, name) for name, _ in network.named_parameters()}


def shape_of(network: nn.Module, name: str) -> tuple[int, ...]:
    """The shape of one parameter's values."""
    layer = narrow_layer(network, name)
    return tuple(network.get_parameter(name).shape) if layer is None else layer.wide_shape


def kept_value(network: nn.Module, name: str, dtype: torch.dtype = SAVED) -> Tensor:
    """One parameter's values: in `dtype` where they are kept in fewer bits, else the parameter itself."""
    layer = narrow_layer(network, name)
    return network.get_parameter(name).detach() if layer is None else layer.wide(dtype)


def widen(network: nn.Module, dtype: torch.dtype) -> None:
    """Make all such layers of a network wide for good, in `dtype`."""
    for layer in cast("Iterable[nn.Module]", network.modules()):
        if isinstance(layer, NarrowWeight) and layer.is_narrow:
            layer.widen(layer.wide(dtype))

"""Layers that keep their weights a second time, in the form in which this processor reads them fastest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self, TypeVar, cast

import torch
from torch import Tensor, nn

Made = TypeVar("Made")
Version = tuple[int, tuple[tuple[int, int, torch.dtype], ...]]


class SecondForm(nn.Module):
    """What such layers share. `quick` lets one keep the second form, which is made at the first use.

    It is used on a CPU where no gradient is asked for, and made anew when the weights change.
    """

    quick: bool = False
    _kept: Mapping[str, tuple[Version, Any]] = MappingProxyType({})

    @property
    def second_form_bytes(self) -> int:
        """What the second form takes; 0 where it would not be used."""
        return 0

    def added(self, input: Tensor, to: Tensor) -> Tensor:
        """What the layer makes of the input, added to what there is."""
        return to + self(input)

    def reads(self, x: Tensor) -> bool:
        """Whether the second form may be used for x."""
        return self.quick and x.device.type == "cpu" and not torch.is_grad_enabled()

    def second_form(self, name: str, weights: Sequence[Tensor], make: Callable[[], Made], *, of: int = 0) -> Made:
        """What `make` makes of the weights, kept under the name; one `of` several kinds at a time."""
        version = of, tuple(version_of(weight) for weight in weights)
        kept = self._kept.get(name)
        if kept is None or kept[0] != version:
            kept = (version, make())
            self._kept = {**self._kept, name: kept}  # not written into: a twin of the network shares what there is
        return cast("Made", kept[1])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._kept = {}
        return super()._apply(fn, recurse)  # pyright: ignore[reportUnknownMemberType]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}}


def added(layer: nn.Module, x: Tensor, to: Tensor) -> Tensor:
    """What the layer makes of x, added to what there is; where the layer can, while it is made."""
    if not isinstance(layer, SecondForm) or is_watched(vars(layer)):
        return to + layer(x)
    return layer.added(x, to)


def is_watched(layer: Mapping[str, Any]) -> bool:
    """Whether somebody looks into a layer, given its `__dict__`, or has given it another way to compute."""
    return bool(layer["_forward_hooks"] or layer["_forward_pre_hooks"] or "forward" in layer)


def version_of(tensor: Tensor) -> tuple[int, int, torch.dtype]:
    """What tells a tensor from what it was before it was changed in place or given other memory."""
    # Tensors that were born in inference mode have no count of their changes.
    changes = 0 if tensor.is_inference() else tensor._version  # pyright: ignore[reportPrivateUsage]
    return tensor.data_ptr(), changes, tensor.dtype

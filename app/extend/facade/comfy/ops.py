"""`comfy.ops`: layers that are made without initial values, and layers that compute in their input's precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.extend.facade.comfy.model_management import cast_to

__all__ = [
    "CastWeightBiasOp",
    "cast_bias_weight",
    "cast_to",
    "cast_to_input",
    "disable_weight_init",
    "manual_cast",
    "pick_operations",
]


class CastWeightBiasOp:
    """A layer that may compute in another precision than its weights'."""

    comfy_cast_weights = False
    weight_function: Any = ()
    bias_function: Any = ()


def cast_to_input(weight: Tensor, input: Tensor, non_blocking: bool = False, copy: bool = True) -> Tensor:
    """A weight in the precision and on the device of an input."""
    return cast_to(weight, input.dtype, input.device, non_blocking, copy)


def cast_bias_weight(
    s: Any, input: Tensor | None = None, dtype: Any = None, device: Any = None, bias_dtype: Any = None
) -> tuple[Tensor, Tensor | None]:
    """(weight, bias) of a layer for an input."""
    dtype = dtype or (input.dtype if input is not None else None)
    device = device or (input.device if input is not None else None)
    bias = None if s.bias is None else cast_to(s.bias, bias_dtype or dtype, device)
    return cast_to(s.weight, dtype, device), bias


class _Linear(nn.Linear, CastWeightBiasOp):
    def reset_parameters(self) -> None:
        """Values come from a file."""

    def forward(self, input: Tensor) -> Tensor:
        """x Wᵀ + b."""
        if not self.comfy_cast_weights:
            return super().forward(input)
        return functional.linear(input, *cast_bias_weight(self, input))


class _Conv2d(nn.Conv2d, CastWeightBiasOp):
    def reset_parameters(self) -> None:
        """Values come from a file."""

    def forward(self, input: Tensor) -> Tensor:
        """The convolution."""
        if not self.comfy_cast_weights:
            return super().forward(input)
        return self._conv_forward(input, *cast_bias_weight(self, input))


class _Conv3d(nn.Conv3d, CastWeightBiasOp):
    def reset_parameters(self) -> None:
        """Values come from a file."""

    def forward(self, input: Tensor) -> Tensor:
        """The convolution."""
        if not self.comfy_cast_weights:
            return super().forward(input)
        return self._conv_forward(input, *cast_bias_weight(self, input))


class _GroupNorm(nn.GroupNorm, CastWeightBiasOp):
    def reset_parameters(self) -> None:
        """Values come from a file."""

    def forward(self, input: Tensor) -> Tensor:
        """The normalisation."""
        if not self.comfy_cast_weights or not self.affine:
            return super().forward(input)
        weight, bias = cast_bias_weight(self, input)
        return functional.group_norm(input, self.num_groups, weight, bias, self.eps)


class _LayerNorm(nn.LayerNorm, CastWeightBiasOp):
    def reset_parameters(self) -> None:
        """Values come from a file."""

    def forward(self, input: Tensor) -> Tensor:
        """The normalisation."""
        if not self.comfy_cast_weights or not self.elementwise_affine:
            return super().forward(input)
        weight, bias = cast_bias_weight(self, input)
        return functional.layer_norm(input, self.normalized_shape, weight, bias, self.eps)


class _Embedding(nn.Embedding, CastWeightBiasOp):
    def reset_parameters(self) -> None:
        """Values come from a file."""

    def forward(self, input: Tensor, out_dtype: torch.dtype | None = None) -> Tensor:
        """The rows of the table."""
        found = super().forward(input)
        return found if out_dtype is None else found.to(out_dtype)


class disable_weight_init:
    """Layers without initial values."""

    Linear = _Linear
    Conv2d = _Conv2d
    Conv3d = _Conv3d
    GroupNorm = _GroupNorm
    LayerNorm = _LayerNorm
    Embedding = _Embedding

    @classmethod
    def conv_nd(cls, dims: int, *args: Any, **kwargs: Any) -> nn.Module:
        """A convolution over 2 or 3 dimensions. Raises ValueError for others."""
        if dims not in (2, 3):
            raise ValueError(f"There is no convolution over {dims} dimensions here; use 2 or 3.")
        return (cls.Conv2d if dims == 2 else cls.Conv3d)(*args, **kwargs)


def _casting(kind: type[Any]) -> type[Any]:
    return type(kind.__name__, (kind,), {"comfy_cast_weights": True})


class manual_cast(disable_weight_init):
    """Layers that compute in their input's precision."""

    Linear = _casting(_Linear)
    Conv2d = _casting(_Conv2d)
    Conv3d = _casting(_Conv3d)
    GroupNorm = _casting(_GroupNorm)
    LayerNorm = _casting(_LayerNorm)
    Embedding = _casting(_Embedding)


def pick_operations(weight_dtype: Any, compute_dtype: Any, *_: Any, **__: Any) -> type[disable_weight_init]:
    """The layers for weights of one precision that compute in another."""
    return disable_weight_init if compute_dtype is None or weight_dtype == compute_dtype else manual_cast

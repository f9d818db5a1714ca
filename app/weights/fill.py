"""Tensors from a file take the places of a module's, after names, shapes and values have been checked."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from app.errors import UnusableFile
from app.weights.stored import Tensors


def fill(module: nn.Module, tensors: Tensors, name: str, *, dtype: torch.dtype = torch.float32, told: str = "") -> None:
    """Give a module, built `blank`, its weights in `dtype`; names that it does not have are passed over.

    `name` is the file's and `told` what stands before the names there, for messages. Weights that are in `dtype`
    already stay in the mapped file; changing them does not change it.

    Raises:
        UnusableFile: a tensor is missing, has another shape, or holds values that are not numbers.
    """
    expected = module.state_dict()
    check(tensors, {key: tuple(value.shape) for key, value in expected.items()}, name, told)
    filled: dict[str, Tensor] = {}
    for key, place in expected.items():
        value = tensors[key].read()
        if place.is_floating_point() and value.dtype != dtype:
            value = value.to(dtype)
            tensors[key].forget()
        if not is_finite(value):
            raise UnusableFile(
                f"In {name!r} the tensor {told + key!r} holds values that are not numbers.",
                remedy="The file is damaged, or was merged or trained badly; use another copy.",
            )
        filled[key] = value
    module.load_state_dict(filled, assign=True)
    module.eval().requires_grad_(False)


def check(tensors: Tensors, expected: dict[str, tuple[int, ...]], name: str, told: str) -> None:
    """Raises UnusableFile unless each expected tensor is there with its shape; nothing is read."""
    missing = [told + key for key in expected if key not in tensors]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UnusableFile(
            f"The file {name!r} lacks the tensor {missing[0]!r}{others}.",
            remedy="It was saved incompletely; use another copy.",
        )
    for key, shape in expected.items():
        if tensors[key].shape != shape:
            raise UnusableFile(
                f"In {name!r} the tensor {told + key!r} has the shape {list(tensors[key].shape)} "
                f"where {list(shape)} is expected.",
                remedy="It belongs to another architecture; use another file.",
            )


def is_finite(value: Tensor) -> bool:
    """Whether all values are numbers: the smallest and the largest are, which one fast pass finds."""
    if not value.is_floating_point() or not value.numel():
        return True
    return all(bool(extreme.isfinite()) for extreme in torch.aminmax(value))

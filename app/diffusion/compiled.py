"""Networks that PyTorch compiles when they are first called."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import torch
from torch import nn

from app.diffusion.adapters.twin import independent
from app.errors import InvalidRequest

Module = TypeVar("Module", bound=nn.Module)
GPU_ALONE = "cudagraphs"


def compiled(network: Module, backend: str) -> Module:
    """A network with the same weights whose calls go through what `backend` makes of them.

    Compiling takes place at the first call, and again for pictures of another size. The network that was given stays
    as it is.

    Raises:
        InvalidRequest: the backend needs a GPU, or a compiler, that there is not.
    """
    device = next(network.parameters()).device
    if backend == GPU_ALONE and not torch.cuda.is_available():
        raise InvalidRequest(
            f"The backend {backend!r} needs an NVIDIA GPU.", remedy="Choose inductor, or leave the node out."
        )
    if backend == "inductor":
        _check_compiler(device)
    made = independent(network)
    made.compile(backend=backend)  # pyright: ignore[reportUnknownMemberType]
    return made


def _check_compiler(device: torch.device) -> None:
    from torch._inductor import cpp_builder
    from torch.utils import _triton

    if torch.cuda.is_available() or device.type != "cpu":
        if not _triton.has_triton():
            raise InvalidRequest(
                "There is no Triton, which compiles for the GPU.", remedy="Install the package triton."
            )
        return
    try:
        cast("Any", cpp_builder).get_cpp_compiler()
    except Exception as error:
        raise InvalidRequest(
            "There is no C++ compiler on this machine, with which networks are compiled for the processor.",
            remedy="Install one (such as g++), or leave the node out.",
        ) from error

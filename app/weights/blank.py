"""Building networks whose weights come from a file: no memory, no random numbers."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class _WithoutInitialisation(TorchFunctionMode):
    """Lets the functions that fill fresh weights do nothing.

    On `meta` they have nothing to fill, and the first of them costs two seconds of imports.
    """

    _FILLING = frozenset({"normal_", "uniform_", "kaiming_uniform_", "constant_", "fill_", "zero_", "ones_", "zeros_"})

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in self._FILLING:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextmanager
def blank() -> Generator[None]:
    """Modules built inside have shapes and names but no storage; see `fill`."""
    with uncollected(), torch.device("meta"), _WithoutInitialisation():
        yield


@contextmanager
def uncollected() -> Generator[None]:
    """Nothing is collected inside, where thousands of small objects come into being that all stay.

    Looking among them for rubbish would double the time that it takes to build a model.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()

"""In which precision a network computes, and what is still to be done with its weights before it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Work = Callable[[nn.Module], None]
# A twin of a network does not take over what has the prefix (see `adapters.twin`): its weights have had it done.
_DTYPE, _WAITING = "working_dtype", "_for_first_use"
_GUARDS = "guards_of_use"  # which a twin takes over with the weights


def working_dtype(module: nn.Module) -> torch.dtype:
    """The precision that a network computes in; its weights may be kept in another one."""
    said: torch.dtype | None = module.__dict__.get(_DTYPE)
    return said if said is not None else next(module.parameters()).dtype


def computes_in(module: nn.Module, dtype: torch.dtype | None) -> None:
    """Say what `working_dtype` tells; None for that of the weights."""
    module.__dict__[_DTYPE] = dtype


def at_first_use(module: nn.Module, work: Work) -> None:
    """Let `work` be done with the module when it is first called or `make_ready`, whichever comes first.

    Work is done in the order in which it was asked for. What fails is tried again at the next use.
    """
    waiting: list[Work] = module.__dict__.setdefault(_WAITING, [])
    if not waiting:
        module.register_forward_pre_hook(_ready_first)
    waiting.append(work)


def before_each_use(module: nn.Module, guard: Work) -> None:
    """Let `guard` look at the module, and at twins of it, whenever they are called or made ready; it may raise."""
    guards = _guards_of(module)
    if not guards:
        module.register_forward_pre_hook(_look_first)
    module.__dict__[_GUARDS] = (*guards, guard)


def make_ready(module: nn.Module) -> None:
    """Do what waits for the first use of the module and of those within it.

    For whoever looks at weights, or calls another method than `forward`.
    """
    for part in module.modules():
        _make_one_ready(part)
        _look_at_one(part)


def is_ready(module: nn.Module) -> bool:
    """Whether nothing waits for the first use."""
    return not any(part.__dict__.get(_WAITING) for part in module.modules())


def _make_one_ready(module: nn.Module) -> None:
    waiting: list[Work] | None = module.__dict__.get(_WAITING)
    while waiting:
        with torch.inference_mode(False), torch.no_grad():  # weights stay usable for training
            waiting[0](module)
        del waiting[0]


def _guards_of(module: nn.Module) -> tuple[Work, ...]:
    return module.__dict__.get(_GUARDS, ())


def _look_at_one(module: nn.Module) -> None:
    for guard in _guards_of(module):
        guard(module)


def _look_first(module: nn.Module, _: Any) -> None:
    if not torch.compiler.is_compiling():
        _look_at_one(module)


def _ready_first(module: nn.Module, _: Any) -> None:
    _make_one_ready(module)

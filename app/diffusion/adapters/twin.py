"""Networks with edited weights, beside the network that they come from, which is never touched.

A twin has modules of its own over the same weights. Only what is edited gets memory of its own, and only when the
twin is first used: a chain of adapters costs what its last link does, and taking an adapter away is going back to the
network that was there all the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from app.diffusion.adapters.change import Edit, edited
from app.diffusion.models.narrow import narrow_layer
from app.diffusion.working import at_first_use, computes_in, make_ready, working_dtype

Module = TypeVar("Module", bound=nn.Module)
_EDITS = "edits_of_twin"


@dataclass(slots=True)
class Edits:
    """What makes a twin of a network: all edits in order, and whether its weights have had them."""

    origin: nn.Module
    edits: tuple[Edit, ...]
    settled: bool = False

    def of(self, name: str) -> Sequence[Edit]:
        """The edits of one parameter."""
        return [edit for edit in self.edits if edit.place.name == name]


def edits_of(network: nn.Module) -> Edits | None:
    """What made this twin; None for a network that is none."""
    return network.__dict__.get(_EDITS)


def origin_of(network: Module) -> Module:
    """The network without its edits."""
    edits = edits_of(network)
    return network if edits is None else cast("Module", edits.origin)


def with_edits(network: Module, edits: Iterable[Edit]) -> Module:
    """A twin with these edits after those that the network has; the network itself where there are none."""
    new = tuple(edit for edit in edits if edit.strength)
    if not new:
        return network
    before = edits_of(network)
    make_ready(origin_of(network))
    made = _copied(origin_of(network), {})
    if "config" in network.__dict__:  # which tells of weights that have grown
        made.__dict__["config"] = network.__dict__["config"]
    made.__dict__[_EDITS] = Edits(origin_of(network), (*(before.edits if before else ()), *new))
    made.register_forward_pre_hook(_settle_first)
    made.register_state_dict_pre_hook(_settle_before_state)  # pyright: ignore[reportUnknownMemberType]
    return made


def in_precision(network: Module, dtype: torch.dtype) -> Module:
    """A network with the same weights, edits included, that computes in another precision; itself where that is its.

    Its weights take memory of their own once it is used.
    """
    if working_dtype(network) == dtype:
        return network
    made = independent(network)

    def convert(module: nn.Module) -> None:
        module.to(dtype)

    computes_in(made, dtype)
    at_first_use(made, convert)
    return made


def independent(network: Module) -> Module:
    """A network of its own over the same weights, edits included, which are from then on part of it."""
    settle(network)
    made = _copied(network, {})
    for module in made.modules():
        module.__dict__.pop(_EDITS, None)
    return made


def settle(network: nn.Module) -> None:
    """Give a twin, and those within a network, their edited weights, where their weights are now."""
    make_ready(network)
    for module in network.modules():
        _settle_one(module)


def _settle_one(network: nn.Module) -> None:
    edits = edits_of(network)
    if edits is None or edits.settled:
        return
    with torch.inference_mode(False), torch.no_grad():
        for name in dict.fromkeys(edit.place.name for edit in edits.edits):
            layer = narrow_layer(network, name)
            if layer is not None:
                grows = any(edit.grows for edit in edits.of(name))
                layer.change(partial(edited, edits=edits.of(name)), grows=grows)
            else:
                parameter = network.get_parameter(name)
                parameter.data = edited(parameter.data, edits.of(name))
    edits.settled = True


def value_of(network: nn.Module, name: str) -> Tensor:
    """One parameter with its edits; the others of a twin that is not used yet stay as they are."""
    edits = edits_of(network)
    layer = narrow_layer(network, name)
    parameter = network.get_parameter(name).detach() if layer is None else layer.wide(torch.float32)
    return parameter if edits is None or edits.settled else edited(parameter, edits.of(name))


def _settle_first(network: nn.Module, _: Any) -> None:
    _settle_one(network)


def _settle_before_state(network: nn.Module, *_: Any) -> None:
    _settle_one(network)


def _copied(module: Module, made: dict[int, nn.Module]) -> Module:
    """The module anew with parameters of its own over the same memory; modules that are there twice stay so."""
    if id(module) in made:
        return cast("Module", made[id(module)])
    copy = module.__class__.__new__(module.__class__)
    made[id(module)] = copy
    # What others keep with a network, under such names, belongs to that one alone; so does what was compiled of it.
    own = ("_for_", "_compiled_call_impl")
    state = {key: value for key, value in module.__dict__.items() if not key.startswith(own)}
    copy.__dict__.update(state)
    for key, value in state.items():
        if key.endswith("_hooks") or "_hooks_" in key:
            copy.__dict__[key] = cast("dict[Any, Any]", value).copy()
    parameters, modules = module._parameters, module._modules  # pyright: ignore[reportPrivateUsage]
    with torch.inference_mode(False):
        copy.__dict__["_parameters"] = {
            key: None if value is None else nn.Parameter(value.detach(), requires_grad=False)
            for key, value in parameters.items()
        }
    copy.__dict__["_modules"] = {key: None if value is None else _copied(value, made) for key, value in modules.items()}
    return copy

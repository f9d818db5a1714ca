"""What nodes have a say in while a model is guided. A model carries its hooks; sampling reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from torch import Tensor

from app.diffusion.guidance.conditions import Condition, Entry
from app.diffusion.models.hooks import NetworkHooks
from app.diffusion.parameterization import ModelSampling

Side = Literal["positive", "negative"]


class Ask(Protocol):
    """Asks the model again: what it expects under x, told one side or further conditioning, with further hooks."""

    def __call__(self, said: Side | Sequence[Entry], x: Tensor, hooks: NetworkHooks | None = None, /) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Answers:
    """What both sides said of x (B, C, h, w) at the level sigma (0-d); all shaped as x.

    Where the negative side was not asked, because the scale is 1 and nothing needs it, it is the positive one.
    """

    positive: Tensor
    negative: Tensor
    x: Tensor
    sigma: Tensor
    scale: float
    ask: Ask

    def changed(self, **parts: Tensor) -> Answers:
        """The same with other answers."""
        return replace(self, **parts)


# sigma → the hooks of the network there
NetworkAt = Callable[[float], NetworkHooks]
# (mask in 0..1, sigma, all levels, the model's) → the mask at sigma
MaskAt = Callable[[Tensor, Tensor, Tensor, ModelSampling], Tensor]
# (x, sigma) → answers, each shaped as x
Asked = Callable[[Tensor, Tensor], list[Tensor]]
# how to ask → how to ask more seldom; called once a run
Around = Callable[[Asked], Asked]
# (conditions, latent) → what is asked instead
Spread = Callable[[Sequence[Condition], Tensor], list[Condition]]


@dataclass(frozen=True)
class GuidanceHooks:
    """Functions in the order in which they run.

    spread: over the conditions of a side, before anything; network and negative_network: inside the network, the
    second for the negative side alone, which is then asked apart; before: on the answers; combine: in place of the
    guidance formula; after: on its result, each in turn. mask: what an inpainting mask is at a level. reuse and
    reuse_guided: leave out calls whose answers can be carried on, both sides' or the result's, with a memory that lasts
    for one run.
    """

    spread: tuple[Spread, ...] = ()
    network: tuple[NetworkAt, ...] = ()
    negative_network: tuple[NetworkAt, ...] = ()
    before: tuple[Callable[[Answers], Answers], ...] = ()
    combine: Callable[[Answers], Tensor] | None = None
    after: tuple[Callable[[Tensor, Answers], Tensor], ...] = ()
    mask: MaskAt | None = None
    reuse: tuple[Around, ...] = ()
    reuse_guided: tuple[Around, ...] = ()
    needs_negative: bool = False

    def with_hook(self, **hooks: Any) -> GuidanceHooks:
        """The same with one more function of each kind named; `combine`, `mask` and `needs_negative` are replaced."""
        alone = ("combine", "mask", "needs_negative")
        return replace(
            self, **{kind: hook if kind in alone else (*getattr(self, kind), hook) for kind, hook in hooks.items()}
        )

    def network_at(self, sigma: float, *, negative: bool = False) -> NetworkHooks:
        """What happens inside the network at this level."""
        gathered = NetworkHooks()
        for at in (*self.network, *(self.negative_network if negative else ())):
            gathered = gathered | at(sigma)
        return gathered

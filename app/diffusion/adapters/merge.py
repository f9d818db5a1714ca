"""Sums of models, weight by weight. Nothing is computed before the sum is used, and then one weight at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from app.diffusion.adapters.change import Edit, Place, like
from app.diffusion.adapters.twin import origin_of, value_of, with_edits
from app.diffusion.models.narrow import shape_of, weight_shapes
from app.errors import InvalidRequest

Module = TypeVar("Module", bound=nn.Module)
# (what becomes of the first network's weight, and of the second's) for a parameter's name
Shares = Callable[[str], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Sum:
    """first · W + strength · V with V of another network."""

    other: nn.Module
    name: str
    first: float

    def fits(self, shape: Sequence[int]) -> bool:
        """See `Change`."""
        return shape_of(self.other, self.name) == tuple(shape)

    def applied(self, weight: Tensor, strength: float) -> Tensor:
        """See `Change`."""
        return self.first * weight + strength * like(value_of(self.other, self.name), weight)


@dataclass(frozen=True, slots=True)
class Scaled:
    """first · W, where the other network counts nothing."""

    first: float

    def fits(self, shape: Sequence[int]) -> bool:
        """See `Change`."""
        return True

    def applied(self, weight: Tensor, strength: float) -> Tensor:
        """See `Change`."""
        return self.first * weight


@dataclass(frozen=True, slots=True)
class Departure:
    """W + strength · (V − W₀): on the way from the network that was loaded, W₀, to another one's V, and beyond."""

    origin: nn.Module
    other: nn.Module
    name: str

    def fits(self, shape: Sequence[int]) -> bool:
        """See `Change`."""
        return shape_of(self.other, self.name) == tuple(shape)

    def applied(self, weight: Tensor, strength: float) -> Tensor:
        """See `Change`."""
        there, here = (like(value_of(network, self.name), weight) for network in (self.other, self.origin))
        return weight + strength * (there - here)


def departed(network: Module, other: nn.Module, strength: float) -> Module:
    """A twin that is so much nearer to another network, as a LoRA that was trained to make one of the other.

    Raises:
        InvalidRequest: networks of different shapes; names a parameter.
    """
    _check_alike(network, other)
    origin = origin_of(network)
    return with_edits(
        network,
        (Edit(Place(name), Departure(origin, other, name), strength) for name in weight_shapes(origin)),
    )


def merged(first: Module, second: nn.Module, shares: Shares) -> Module:
    """A twin of the first network that is the sum of both, by the shares of each parameter.

    Raises:
        InvalidRequest: networks of different shapes; names a parameter.
    """
    _check_alike(first, second)
    return with_edits(first, _edits(first, second, shares))


def _check_alike(first: nn.Module, second: nn.Module) -> None:
    theirs = weight_shapes(second)
    for name, shape in weight_shapes(first).items():
        if theirs.get(name) != shape:
            other = f"{list(theirs[name])} in the second" if name in theirs else "is not in the second"
            raise InvalidRequest(
                f"The models differ in shape and cannot be merged: {name!r} is {list(shape)} in the first model "
                f"and {other}.",
                remedy="Merge models of one family.",
            )


def _edits(first: nn.Module, second: nn.Module, shares: Shares) -> Iterator[Edit]:
    for name in weight_shapes(first):
        own, other = shares(name)
        if (own, other) != (1.0, 0.0):
            yield Edit(Place(name), Sum(second, name, own), other) if other else Edit(Place(name), Scaled(own))


def by_beginning(shares: Mapping[str, float]) -> Callable[[str], float]:
    """The share of a parameter: that of the longest beginning of its name; the first one for a name without any."""
    default = next(iter(shares.values()))

    def share(name: str) -> float:
        fitting = [beginning for beginning in shares if name.startswith(beginning)]
        return shares[max(fitting, key=len)] if fitting else default

    return share

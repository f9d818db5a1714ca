"""What steering networks add inside the networks that they steer, as hooks for one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from torch import Tensor

from app.diffusion.models.hooks import NetworkHooks, Place, RunBlock, Streams
from app.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Residuals:
    """What is added, in the order in which blocks run; None for nothing.

    In a U-Net: `inputs` after each block of the way down, `middle` after the middle, `skips` to what each block of the
    way up is handed, (B, C, h, w). In a transformer: `double` and `single` after each block of that kind, (B, P, C) to
    the tokens of the picture; `double` are those of joint blocks as well. `with_text` single ones (B, T + P, C) are for
    the tokens of the text too.
    """

    inputs: Sequence[Tensor | None] = ()
    middle: Tensor | None = None
    skips: Sequence[Tensor | None] = ()
    double: Sequence[Tensor | None] = ()
    single: Sequence[Tensor | None] = ()
    with_text: bool = False

    def times(self, strength: float, *, pooled: bool = False) -> Residuals:
        """The same times a strength; `pooled` ones have their mean over the picture everywhere."""

        def weighed(part: Tensor) -> Tensor:
            return (part.mean(dim=(2, 3), keepdim=True).expand_as(part) if pooled else part) * strength

        return self._with_each(weighed)

    def of_rows(self, rows: slice) -> Residuals:
        """Those of some rows of a batch. One row alone is for all of them."""
        return self._with_each(lambda part: part if len(part) == 1 else part[rows])

    def _with_each(self, change: Callable[[Tensor], Tensor]) -> Residuals:
        def of(part: Tensor | None) -> Tensor | None:
            return None if part is None else change(part)

        lists = [each.name for each in fields(self) if each.name not in ("middle", "with_text")]
        changed: dict[str, Any] = {name: [of(part) for part in getattr(self, name)] for name in lists}
        return replace(self, **changed, middle=of(self.middle))

    def hooks(self) -> NetworkHooks:
        """As hooks of a network."""

        def entering(place: Place, x: Tensor, skip: Tensor | None) -> tuple[Tensor, Tensor | None]:
            if place.part == "output" and skip is not None and place.block < len(self.skips):
                skip = _added(skip, self.skips[place.block], place)
            return x, skip

        def leaving(place: Place, x: Tensor) -> Tensor:
            if place.part == "middle":
                return _added(x, self.middle, place)
            if place.part == "input" and place.block < len(self.inputs):
                return _added(x, self.inputs[place.block], place)
            return x

        if not self.double and not self.single:
            return NetworkHooks(
                entering=(entering,), leaving=(leaving,), of_rows=lambda rows: self.of_rows(rows).hooks()
            )
        return NetworkHooks(blocks=(_AfterBlocks(self),))


class _AfterBlocks:
    """What adds residuals after a transformer's blocks, in one call of it."""

    def __init__(self, residuals: Residuals) -> None:
        self._residuals = residuals
        self._text = 0

    def __call__(self, place: Place, usual: RunBlock) -> RunBlock:
        single = place.part == "single"
        parts = self._residuals.single if single else self._residuals.double
        residual = parts[place.block] if place.block < len(parts) else None

        def run(streams: Streams) -> Streams:
            if streams.txt is not None:
                self._text = streams.txt.shape[1]
            out = usual(streams)
            if residual is None:
                return out
            # In single blocks the text stands first. Pictures to look at stand last.
            first = self._text if single and not self._residuals.with_text else 0
            return out._replace(img=_added_at(out.img, residual, first, place))

        return run


def spread(parts: Sequence[Tensor], count: int) -> list[Tensor]:
    """Residuals of fewer blocks for `count` blocks: each counts for as many that follow each other."""
    each = -(-count // len(parts)) if parts else 1
    return [part for part in parts for _ in range(each)][:count]


def stretched(parts: Sequence[Tensor], count: int) -> list[Tensor]:
    """The same, with the last ones as often as the first, where `count` is no multiple."""
    return [parts[index * len(parts) // count] for index in range(count)] if parts else []


def repeated(parts: Sequence[Tensor], count: int) -> list[Tensor]:
    """Residuals of fewer blocks for `count` blocks: one after the other, and again from the first."""
    return [parts[index % len(parts)] for index in range(count)] if parts else []


def _added(x: Tensor, residual: Tensor | None, place: Place) -> Tensor:
    if residual is None:
        return x
    if residual.shape[1:] != x.shape[1:]:
        raise _misfit(residual, x, place)
    return x + residual.to(x)


def _added_at(x: Tensor, residual: Tensor, first: int, place: Place) -> Tensor:
    end = first + residual.shape[1]
    if residual.shape[-1] != x.shape[-1] or end > x.shape[1]:
        raise _misfit(residual, x, place)
    changed = x.clone()
    changed[:, first:end] += residual.to(x)
    return changed


def _misfit(residual: Tensor, x: Tensor, place: Place) -> InvalidRequest:
    return InvalidRequest(
        f"A ControlNet gives {list(residual.shape)} to block {place.part} {place.block}, {list(x.shape)}.",
        remedy="Use a ControlNet that was made for this model's family.",
    )

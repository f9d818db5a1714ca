"""What may be changed inside a network for one call: around its attention, between its blocks, whole blocks left out.

A network takes `hooks` with its other arguments and is the same afterwards. Guidance that perturbs attention, FreeU and
patches of packs all come this way. A network that computes parts of a batch apart, because that is faster, does so only
with hooks that say how they are for some of its rows. B batch, P tokens, C channels
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Place(NamedTuple):
    """A block: of the "input", "middle" or "output" of a U-Net, or a "joint", "double" or "single" one elsewhere."""

    part: str
    block: int


class Looking(NamedTuple):
    """One attention: "attn1" looks at the picture, "attn2" at the text, "joint" at both; `number` counts transformers
    in the block.
    """

    name: str
    place: Place
    number: int
    heads: int


class Streams(NamedTuple):
    """What goes through a block of a transformer.

    img (B, P, C), txt (B, T, C); in a "single" block img holds both, text first (B, T + P, C), and txt is None. vector
    (B, C) is what holds for the whole picture, `angles` the positions of all tokens where they are told by rotation.
    """

    img: Tensor
    txt: Tensor | None
    vector: Tensor
    angles: Any = None


class Embedded(NamedTuple):
    """Tokens as they enter a transformer, each with its position (T or P, axes), which rotations tell."""

    img: Tensor
    txt: Tensor
    img_positions: Tensor
    txt_positions: Tensor


RunBlock = Callable[[Streams], Streams]
# The tokens (B, P, C) that queries, keys and values are made from.
Sources = tuple[Tensor, Tensor, Tensor]
# Queries, keys, values (B, P, C), heads side by side → what attention gives, (B, P, C).
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


# Rows of a batch → the hooks for them.
OfRows = Callable[[slice], "NetworkHooks"]


@dataclass(frozen=True)
class NetworkHooks:
    """Functions that a network calls, each in turn.

    sources: before the projections; attend: in place of attention, of which each is given the usual or the last one;
    attended: after the projection back. entering: (place, x, skip) before a block, with the features (B, C, h, w) that
    the way up is handed, else None; leaving: after a block. between: on a transformer's tokens (B, P, C), which have
    looked at each other and not at the text yet. left_out: blocks that hand on what they are given.
    In transformers: embedded, before the first block (Flux); blocks, in place of a block, of which each is given the
    usual or the last one. There `attend` counts as well.
    of_rows: by which the functions say that they change each row of a batch by itself: the hooks for some of the rows.
    They are called for these in place of the functions here, from a thread of their own, through the whole network in
    its order; places where parts of a batch are found to be the same may see them twice. None: functions may look at
    the whole batch or keep what they have seen, so that they are called once at each place with all of it.
    """

    sources: tuple[Callable[[Looking, Sources], Sources], ...] = ()
    attend: tuple[Callable[[Looking, Attend], Attend], ...] = ()
    attended: tuple[Callable[[Looking, Tensor], Tensor], ...] = ()
    entering: tuple[Callable[[Place, Tensor, Tensor | None], tuple[Tensor, Tensor | None]], ...] = ()
    leaving: tuple[Callable[[Place, Tensor], Tensor], ...] = ()
    between: tuple[Callable[[Looking, Tensor], Tensor], ...] = ()
    embedded: tuple[Callable[[Embedded], Embedded], ...] = ()
    blocks: tuple[Callable[[Place, RunBlock], RunBlock], ...] = ()
    left_out: frozenset[Place] = frozenset()
    of_rows: OfRows | None = field(default=None, compare=False)

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in _FUNCTIONS) or bool(self.left_out)

    def __or__(self, other: NetworkHooks) -> NetworkHooks:
        """Both, this one's functions first."""
        parts: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in _FUNCTIONS}
        of_rows = _together(self._by_rows(), other._by_rows())
        return NetworkHooks(**parts, left_out=self.left_out | other.left_out, of_rows=of_rows)

    def row_by_row(self) -> NetworkHooks:
        """The same, said to change each row by itself, in the same way, and to keep nothing."""
        return replace(self, of_rows=self._for_any)

    def _for_any(self, rows: slice) -> NetworkHooks:
        return self

    def halves(self, count: int) -> Halves | None:
        """The hooks for both halves of a batch of so many rows, None where functions must see all of it."""
        of_rows = self._by_rows()
        return None if of_rows is None else Halves(of_rows(slice(0, count // 2)), of_rows(slice(count // 2, count)))

    def _by_rows(self) -> OfRows | None:
        if self.of_rows is None and not any(getattr(self, name) for name in _FUNCTIONS):
            return self._for_any
        return self.of_rows

    def at(self, part: str, block: int) -> BlockHooks:
        """The hooks as they concern one block."""
        return BlockHooks(self, Place(part, block))


_FUNCTIONS = tuple(each.name for each in fields(NetworkHooks) if each.name not in ("left_out", "of_rows"))


def _together(first: OfRows | None, second: OfRows | None) -> OfRows | None:
    return None if first is None or second is None else lambda rows: first(rows) | second(rows)


class Halves(NamedTuple):
    """The hooks of both halves of a batch."""

    first: NetworkHooks
    second: NetworkHooks

    @property
    def are_equal(self) -> bool:
        """Whether the very same functions are called for both."""
        return self.first == self.second

    def at(self, part: str, block: int) -> HalvesAt:
        """The hooks as they concern one block."""
        return HalvesAt(self.first.at(part, block), self.second.at(part, block))


class HalvesAt(NamedTuple):
    """Hooks of two halves that have been the same so far, at a block."""

    first: BlockHooks
    second: BlockHooks

    def entered(self, x: Tensor) -> Tensor | None:
        """What goes into the block in either half; None where they part."""
        return _agreed(self.first.entered(x)[0], self.second.entered(x)[0])

    def left(self, x: Tensor) -> Tensor | None:
        """What comes out of it in either half; None where they part."""
        return _agreed(self.first.left(x), self.second.left(x))

    @property
    def look_alike(self) -> bool:
        """Whether the same functions change attention in both."""
        first, second = self.first.hooks, self.second.hooks
        pairs = (first.sources, second.sources), (first.attend, second.attend), (first.attended, second.attended)
        return all(ours == theirs for ours, theirs in pairs)


def _agreed(first: Tensor, second: Tensor) -> Tensor | None:
    return first if first is second or torch.equal(first, second) else None


class BlockHooks(NamedTuple):
    """Hooks at a block."""

    hooks: NetworkHooks
    place: Place

    def entered(self, x: Tensor, skip: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """What goes into the block."""
        for hook in self.hooks.entering:
            x, skip = hook(self.place, x, skip)
        return x, skip

    def left(self, x: Tensor) -> Tensor:
        """What comes out of it."""
        for hook in self.hooks.leaving:
            x = hook(self.place, x)
        return x

    @property
    def left_out(self) -> bool:
        """Whether the block hands on what it is given."""
        return self.place in self.hooks.left_out

    def looking(self, name: str, number: int, heads: int) -> AttentionHooks | None:
        """The hooks as they concern one attention in the block, None where none does."""
        hooks = self.hooks
        if not (hooks.sources or hooks.attend or hooks.attended or hooks.between):
            return None
        return AttentionHooks(self.hooks, Looking(name, self.place, number, heads))


class AttentionHooks(NamedTuple):
    """Hooks at an attention."""

    hooks: NetworkHooks
    looking: Looking

    def sources(self, sources: Sources) -> Sources:
        """What queries, keys and values are made from."""
        for hook in self.hooks.sources:
            sources = hook(self.looking, sources)
        return sources

    def attend(self, usual: Attend) -> Attend:
        """Attention, or what stands in for it."""
        for hook in self.hooks.attend:
            usual = hook(self.looking, usual)
        return usual

    def between(self, x: Tensor) -> Tensor:
        """What is about to look at the text."""
        for hook in self.hooks.between:
            x = hook(self.looking, x)
        return x

    def attended(self, x: Tensor) -> Tensor:
        """What attention hands on."""
        for hook in self.hooks.attended:
            x = hook(self.looking, x)
        return x


def through(hooks: NetworkHooks | None, part: str, block: int, run: RunBlock, streams: Streams) -> Streams:
    """What comes out of a transformer's block, or of what stands in for it."""
    if hooks is None:
        return run(streams)
    place = Place(part, block)
    if place in hooks.left_out:
        return streams
    for hook in hooks.blocks:
        run = hook(place, run)
    return run(streams)


def looking_at_all(hooks: NetworkHooks | None, part: str, block: int, heads: int) -> AttentionHooks | None:
    """The hooks at a transformer's attention, None where there are none."""
    return None if hooks is None or not hooks.attend else hooks.at(part, block).looking("joint", 0, heads)

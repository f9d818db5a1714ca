"""What may be changed inside a network for one call: around its attention, between its blocks, whole blocks left out.

A network takes `hooks` with its other arguments and is the same afterwards. Guidance that perturbs attention, FreeU and
patches of packs all come this way. B batch, P tokens, C channels
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

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


@dataclass(frozen=True)
class NetworkHooks:
    """Functions that a network calls, each in turn.

    sources: before the projections; attend: in place of attention, of which each is given the usual or the last one;
    attended: after the projection back. entering: (place, x, skip) before a block, with the features (B, C, h, w) that
    the way up is handed, else None; leaving: after a block. between: on a transformer's tokens (B, P, C), which have
    looked at each other and not at the text yet. left_out: blocks that hand on what they are given.
    In transformers: embedded, before the first block (Flux); blocks, in place of a block, of which each is given the
    usual or the last one. There `attend` counts as well.
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

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))

    def __or__(self, other: NetworkHooks) -> NetworkHooks:
        """Both, this one's functions first."""
        parts: dict[str, Any] = {
            field.name: getattr(self, field.name) + getattr(other, field.name)
            for field in fields(self)
            if field.name != "left_out"
        }
        return NetworkHooks(**parts, left_out=self.left_out | other.left_out)

    def at(self, part: str, block: int) -> BlockHooks:
        """The hooks as they concern one block."""
        return BlockHooks(self, Place(part, block))


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

    def looking(self, name: str, number: int, heads: int) -> AttentionHooks:
        """The hooks as they concern one attention in the block."""
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

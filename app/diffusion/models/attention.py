"""Transformer blocks of the U-Net (Rombach et al. 2022, arXiv:2112.10752, section 3.3).

B batch, P pixels or query tokens, T context tokens, C channels, N heads
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.kernels import packed
from app.diffusion.kernels.attention import attend
from app.diffusion.models.convolution import Conv1x1, GroupNorm
from app.diffusion.models.folded import FoldedText, folded, is_worth_folding
from app.diffusion.models.hooks import AttentionHooks, BlockHooks
from app.diffusion.models.linear import Linear, packed_bytes, reads_packed
from app.diffusion.models.memo import made_of
from app.diffusion.models.second_form import SecondForm, added, is_watched


class CrossAttention(SecondForm):
    """softmax(QKᵀ/√d)V with queries from `x` and keys and values from `context`; without a context, self-attention.

    The second form for self-attention has the weights of all three in one matrix, packed.
    """

    def __init__(self, width: int, heads: int, head_width: int, context_width: int | None = None) -> None:
        super().__init__()
        inner = heads * head_width
        self.heads = heads
        self.to_q = (Linear if context_width else nn.Linear)(width, inner, bias=False)
        self.to_k = nn.Linear(context_width or width, inner, bias=False)
        self.to_v = nn.Linear(context_width or width, inner, bias=False)
        self.to_out = nn.Sequential(Linear(inner, width), nn.Identity())

    @property
    def second_form_bytes(self) -> int:
        """What the second form takes; 0 where it would not be used."""
        layers = self.to_q, self.to_k, self.to_v
        plain = all(type(layer) is nn.Linear for layer in layers)  # neither of a text's keys nor kept in 8 bits
        return packed_bytes(*(layer.weight for layer in layers)) if plain else 0

    def forward(
        self, x: Tensor, context: Tensor | None = None, hooks: AttentionHooks | None = None
    ) -> Tensor:  # (B, P, C), (B, T, D)
        return self._plain(x, context) if hooks is None else self._hooked(x, context, hooks)

    def added(
        self, input: Tensor, to: Tensor, context: Tensor | None = None, hooks: AttentionHooks | None = None
    ) -> Tensor:
        """What `forward` makes of the input, added to what there is: (B, P, C), (B, P, C) → (B, P, C)."""
        if hooks is not None or is_watched(vars(self)) or is_watched(vars(self.to_out)):
            return to + self(input, context, hooks)
        return self._plain(input, context, to)

    def _plain(self, x: Tensor, context: Tensor | None, to: Tensor | None = None) -> Tensor:
        if context is not None and self._is_folded(x, context):
            return self._folded(x, context).seen_from(x, self._out().bias, to)
        q, k, v = self._of_pixels(x) if context is None else (self._split(self.to_q(x)), *self._of_text(context))
        x = attend(q, k, v).transpose(1, 2).flatten(2)  # (B, N, P, C/N) → (B, P, C)
        return self.to_out(x) if to is None else added(self._out(), x, to)

    def _of_pixels(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # Weights that are kept in 8 bits are of another type than what is computed.
        if not reads_packed(self, x, self.to_q.weight):
            return self._split(self.to_q(x)), *self._keys_and_values(x)
        weights = self.to_q.weight, self.to_k.weight, self.to_v.weight
        packed_weights = self.second_form("packed", weights, lambda: packed.pack_rows(torch.cat(weights)))
        q, k, v = packed.multiply(x, packed_weights, None).chunk(3, dim=-1)
        return self._split(q), self._split(k), self._split(v)

    def _keys_and_values(self, context: Tensor) -> tuple[Tensor, Tensor]:  # each (B, N, T, C/N)
        return self._split(self.to_k(context)), self._split(self.to_v(context))

    def _of_text(self, context: Tensor) -> tuple[Tensor, Tensor]:
        weights = self.to_k.weight, self.to_v.weight
        return made_of(self, context, weights, lambda: self._keys_and_values(context))

    def _is_folded(self, x: Tensor, context: Tensor) -> bool:
        plain = all(
            type(layer) is Linear and reads_packed(layer, x, layer.weight) and not is_watched(vars(layer))
            for layer in (self.to_q, self._out())
        )
        return plain and packed.is_available() and is_worth_folding(self.heads * context.shape[1], x.shape[2])

    def _folded(self, x: Tensor, context: Tensor) -> FoldedText:
        weights = self.to_q.weight, self.to_k.weight, self.to_v.weight, self._out().weight

        def fold() -> FoldedText:
            return folded(weights[0], weights[3], *self._keys_and_values(context), pixels=x.shape[1])

        return made_of(self, context, weights, fold)

    def _out(self) -> nn.Linear:
        return cast("nn.Linear", self.to_out[0])

    def _hooked(self, x: Tensor, context: Tensor | None, hooks: AttentionHooks) -> Tensor:
        given = x if context is None else context
        queries, keys, values = hooks.sources((x, given, given))

        def usual(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return attend(self._split(q), self._split(k), self._split(v)).transpose(1, 2).flatten(2)

        attention = hooks.attend(usual)
        if attention is usual and queries is x and keys is given and values is given:  # nothing to change here
            return hooks.attended(self._plain(x, context))
        return hooks.attended(self.to_out(attention(self.to_q(queries), self.to_k(keys), self.to_v(values))))

    def _split(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, -1, (self.heads, -1)).transpose(1, 2)  # (B, N, P or T, C/N)


class GEGLU(nn.Module):
    """A linear layer gated by a GELU (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj: nn.Linear = Linear(width, inner * 2)  # one that is kept in 8 bits may come in its place

    def forward(self, x: Tensor) -> Tensor:
        proj = self.proj
        if isinstance(proj, Linear) and reads_packed(proj, x, proj.weight) and not is_watched(vars(proj)):
            gate = packed.multiply(x, *_half(proj, 1), gelu=True)
            return packed.multiply_and_gate(x, *_half(proj, 0), gate)
        x, gate = proj(x).chunk(2, dim=-1)
        return x * F.gelu(gate)


def _half(layer: Linear, half: int) -> tuple[Tensor, Tensor]:
    """The packed weights and the bias of one half of a layer's output."""
    weight, bias = layer.weight.chunk(2)[half], layer.bias.chunk(2)[half]
    return layer.second_form(f"half {half}", (layer.weight,), lambda: packed.pack_rows(weight)), bias


# On a CPU so many tokens at a time keep what the wide layer makes of them in cache: 0.8 of the time for 8192 tokens.
TOKENS_AT_ONCE = 512


class FeedForward(SecondForm):
    """GEGLU to four times the width, and back."""

    def __init__(self, width: int, factor: int = 4) -> None:
        super().__init__()
        self.net = nn.Sequential(GEGLU(width, width * factor), nn.Identity(), Linear(width * factor, width))

    def forward(self, x: Tensor) -> Tensor:  # (B, P, C)
        return _piece_by_piece(self.net, x)

    def added(self, input: Tensor, to: Tensor) -> Tensor:
        """What the layer makes of the input, added to what there is: (B, P, C), (B, P, C) → (B, P, C)."""
        if is_watched(vars(self.net)):
            return super().added(input, to)
        gate, between, last = self.net

        def work(x: Tensor, to: Tensor) -> Tensor:
            return added(last, between(gate(x)), to)

        return _piece_by_piece(work, input, to)


def _piece_by_piece(work: Callable[..., Tensor], *given: Tensor) -> Tensor:  # (B, P, C) each → (B, P, C)
    """work(*given), which does the same to every token, on a CPU so many of them at a time."""
    if given[0].device.type != "cpu" or torch.is_grad_enabled() or given[0].shape[:-1].numel() <= TOKENS_AT_ONCE:
        return work(*given)
    tokens = [x.flatten(0, 1) for x in given]
    out = torch.empty_like(tokens[0])
    for *pieces, result in zip(*(torch.split(x, TOKENS_AT_ONCE) for x in (*tokens, out)), strict=True):
        result.copy_(work(*pieces))
    return out.view(given[0].shape)


def repeated(x: Tensor, context: Tensor | None) -> Tensor:
    """x, once more for the second half of the context where it holds the first half's rows only (see `UNet`)."""
    return torch.cat([x, x]) if context is not None and context.shape[0] > x.shape[0] else x


class BasicTransformerBlock(nn.Module):
    """Self-attention, cross-attention and a feed-forward layer, each on a normalised input and added to it.

    With `cross_only` the first attention looks at the context as well, so that its cost grows with P only.
    """

    def __init__(
        self, width: int, heads: int, head_width: int, context_width: int | None, *, cross_only: bool = False
    ) -> None:
        super().__init__()
        self.cross_only = cross_only
        self.attn1 = CrossAttention(width, heads, head_width, context_width if cross_only else None)
        self.ff = FeedForward(width)
        self.attn2 = CrossAttention(width, heads, head_width, context_width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)

    def forward(
        self, x: Tensor, context: Tensor | None, hooks: BlockHooks | None = None, index: int = 0
    ) -> Tensor:  # (B, P, C), (B, T, D)
        return self.end(self.begin(x, hooks, index), context, hooks, index)

    def begin(self, x: Tensor, hooks: BlockHooks | None = None, index: int = 0) -> Tensor:
        """What the block does before it looks at the context."""
        if self.cross_only:
            return x
        return self.attn1.added(self.norm1(x), x, None, _looking(hooks, "attn1", index, self.attn1.heads))

    def end(self, x: Tensor, context: Tensor | None, hooks: BlockHooks | None = None, index: int = 0) -> Tensor:
        """The rest of the block, from the first look at the context on."""
        x = repeated(x, context)
        if self.cross_only:
            x = self.attn1.added(self.norm1(x), x, context, _looking(hooks, "attn1", index, self.attn1.heads))
        second = _looking(hooks, "attn2", index, self.attn2.heads)
        if second is not None:
            x = second.between(x)
        x = self.attn2.added(self.norm2(x), x, context, second)
        return added(self.ff, self.norm3(x), x)


def _looking(hooks: BlockHooks | None, which: str, index: int, heads: int) -> AttentionHooks | None:
    return None if hooks is None else hooks.looking(which, index, heads)


class SpatialTransformer(nn.Module):
    """Transformer blocks over the pixels of a feature map, between two projections."""

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int,
        depth: int,
        context_width: int | None,
        *,
        linear: bool,
        groups: int = 32,
        cross_only: bool = False,
    ) -> None:
        super().__init__()
        inner = heads * head_width
        self.linear = linear
        self.norm = GroupNorm(groups, width, eps=1e-6)
        self.proj_in = Linear(width, inner) if linear else Conv1x1(width, inner)
        self.transformer_blocks = nn.ModuleList(
            BasicTransformerBlock(inner, heads, head_width, context_width, cross_only=cross_only) for _ in range(depth)
        )
        self.proj_out = Linear(inner, width) if linear else Conv1x1(inner, width)

    def forward(
        self, x: Tensor, context: Tensor | None, hooks: BlockHooks | None = None
    ) -> Tensor:  # (B, C, H, W), (B, T, D)
        return self.end(x, self.begin(x, hooks), context, hooks)

    def begin(self, x: Tensor, hooks: BlockHooks | None = None) -> Tensor:
        """What needs no context: (B, C, H, W) → tokens (B, H·W, C')."""
        x = self.norm(x)
        if not self.linear:
            x = self.proj_in(x)
        x = x.flatten(2).transpose(1, 2)
        if self.linear:
            x = self.proj_in(x)
        return self._blocks()[0].begin(x, hooks)

    def end(self, skip: Tensor, x: Tensor, context: Tensor | None, hooks: BlockHooks | None = None) -> Tensor:
        """The rest, from the first look at the context on: the input (B, C, H, W) and the tokens → (B, C, H, W)."""
        first, *others = self._blocks()
        x = first.end(x, context, hooks)
        for index, block in enumerate(others, 1):
            x = block(x, context, hooks, index)
        if self.linear:
            x = self.proj_out(x)
        x = torch.unflatten(x.transpose(1, 2), 2, (skip.shape[2], -1))  # (B, C, H, W)
        skip = repeated(skip, context)
        return x + skip if self.linear else added(self.proj_out, x, skip)

    def _blocks(self) -> list[BasicTransformerBlock]:
        return cast("list[BasicTransformerBlock]", list(self.transformer_blocks))


class PixelAttention(nn.Module):
    """Self-attention over the pixels alone, as in Dhariwal & Nichol 2021 (arXiv:2105.05233).

    Queries, keys and values stand beside each other head by head, the order of the oldest weights.
    """

    def __init__(self, width: int, heads: int, groups: int = 32) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups, width)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        pixels = x.flatten(2)  # (B, C, P)
        parts = self.qkv(self.norm(pixels)).unflatten(1, (self.heads, -1)).transpose(2, 3)  # (B, N, P, 3·C/N)
        q, k, v = parts.chunk(3, dim=-1)
        h = attend(q, k, v).transpose(2, 3).flatten(1, 2)  # (B, C, P)
        return x + self.proj_out(h).view_as(x)

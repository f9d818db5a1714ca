"""Weights in blocks of a few bits, each block with scales of its own, as ggml defines them and GGUF files hold them.

A block is a row of bytes. What its numbers stand for is computed here in PyTorch's operations, where the blocks are, in
float32 and with the very roundings of the gguf library's `quants.py`, which describes the layouts.

N blocks, B bytes of a block, V values of a block
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# On a CPU so many values at a time stay in cache from one operation to the next.
CPU_PIECE = 1 << 18
# Elsewhere the pieces only bound what the operations take besides their result: some five times as many bytes.
PIECE = 1 << 25

# The values of the 4-bit formats with a curve, "IQ4" (kvalues_iq4nl of ggml).
CURVE = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


@dataclass(frozen=True, slots=True)
class BlockFormat:
    """One kind of block: its V values, its B bytes, and how (N, B) uint8 become (N, V) float32.

    `scales` are the places of its float16 scales, from which alone values that are not numbers can come.
    """

    name: str
    values: int
    size: int
    widened: Callable[[Tensor], Tensor]
    scales: Sequence[int]

    def bytes_of(self, count: int) -> int:
        """Bytes of so many values, which fill whole blocks."""
        return count // self.values * self.size

    def wide(self, blocks: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """(N, B) → the values in `dtype`, (N · V), each rounded once."""
        if torch.compiler.is_compiling():  # which makes one loop of all of it
            return self.widened(blocks).to(dtype).view(-1)
        out = torch.empty((len(blocks), self.values), dtype=dtype, device=blocks.device)
        rows = max(1, (CPU_PIECE if blocks.device.type == "cpu" else PIECE) // self.values)
        for piece, place in zip(torch.split(blocks, rows), torch.split(out, rows), strict=True):
            place.copy_(self.widened(piece))
        return out.view(-1)

    def scales_of(self, blocks: Tensor) -> Tensor:
        """(N, B) → (N, scales) in float16."""
        return torch.cat([_half(blocks, place) for place in self.scales], dim=1)


def _half(blocks: Tensor, place: int) -> Tensor:  # (N, B) → (N, 1)
    """The float16 at that byte."""
    return blocks[:, place : place + 2].contiguous().view(torch.float16)


def _scale(blocks: Tensor, place: int) -> Tensor:  # (N, B) → (N, 1)
    return _half(blocks, place).float()


def _nibbles(packed: Tensor) -> Tensor:  # (…, b) → (…, 2, b)
    """The lower halves of bytes, then the upper ones."""
    return torch.stack([packed & 15, packed >> 4], dim=-2)


def _bits(packed: Tensor, width: int) -> Tensor:  # (…, b) → (…, 8 / width, b)
    """Fields of `width` bits, the lowest of all bytes first."""
    mask = (1 << width) - 1
    return torch.stack([(packed >> shift) & mask for shift in range(0, 8, width)], dim=-2)


def _fifth_bits(packed: Tensor) -> Tensor:  # (N, 4) → (N, 32), 0 or 16
    bits = torch.stack([(packed >> shift) & 1 for shift in range(8)], dim=-1)
    return (bits << 4).flatten(1)


def _q8_0(blocks: Tensor) -> Tensor:
    return blocks[:, 2:].view(torch.int8) * _scale(blocks, 0)


def _q4_0(blocks: Tensor) -> Tensor:
    return (_nibbles(blocks[:, 2:]).flatten(1).view(torch.int8) - 8) * _scale(blocks, 0)


def _q4_1(blocks: Tensor) -> Tensor:
    return (_nibbles(blocks[:, 4:]).flatten(1) * _scale(blocks, 0)).add_(_scale(blocks, 2))


def _q5_0(blocks: Tensor) -> Tensor:
    q = _nibbles(blocks[:, 6:]).flatten(1) | _fifth_bits(blocks[:, 2:6])
    return (q.view(torch.int8) - 16) * _scale(blocks, 0)


def _q5_1(blocks: Tensor) -> Tensor:
    q = _nibbles(blocks[:, 8:]).flatten(1) | _fifth_bits(blocks[:, 4:8])
    return (q * _scale(blocks, 0)).add_(_scale(blocks, 2))


def _six_bits(packed: Tensor) -> tuple[Tensor, Tensor]:  # (N, 12) → two of (N, 8)
    """Scales and minima of the eight parts of a block, 6 bits each: those of the last four lie in three places."""
    first, second, third = torch.split(packed, 4, dim=1)
    scales = torch.cat([first & 63, (third & 15) | ((first >> 2) & 48)], dim=1)
    minima = torch.cat([second & 63, (third >> 4) | ((second >> 2) & 48)], dim=1)
    return scales, minima


def _scaled_parts(blocks: Tensor, q: Tensor) -> Tensor:
    """d · scale · q − m · minimum, with (N, 8, 32) numbers q, for the formats that begin with d, m and such scales."""
    scales, minima = _six_bits(blocks[:, 4:16])
    values = q * (scales * _scale(blocks, 0))[..., None]
    return values.sub_((minima * _scale(blocks, 2))[..., None]).flatten(1)


def _q2_k(blocks: Tensor) -> Tensor:
    scales = blocks[:, :16]
    steps, minima = (scales & 15) * _scale(blocks, 80), (scales >> 4) * _scale(blocks, 82)
    q = _bits(torch.unflatten(blocks[:, 16:80], 1, (2, 32)), 2).reshape(len(blocks), 16, 16)
    return (q * steps[..., None]).sub_(minima[..., None]).flatten(1)


def _q3_k(blocks: Tensor) -> Tensor:
    low, high = _nibbles(blocks[:, 96:104]).flatten(1), _bits(blocks[:, 104:108], 2).flatten(1)
    steps = ((low | (high << 4)).view(torch.int8) - 32) * _scale(blocks, 108)
    q = _bits(torch.unflatten(blocks[:, 32:96], 1, (2, 32)), 2).flatten(1)
    third = _bits(blocks[:, :32], 1).flatten(1) ^ 1  # the bit is set where nothing is taken away
    q = torch.unflatten(q.view(torch.int8) - (third << 2).view(torch.int8), 1, (16, 16))
    return (q * steps[..., None]).flatten(1)


def _q4_k(blocks: Tensor) -> Tensor:
    q = _nibbles(torch.unflatten(blocks[:, 16:], 1, (4, 32)))
    return _scaled_parts(blocks, q.flatten(1, 2))


def _q5_k(blocks: Tensor) -> Tensor:
    q = _nibbles(torch.unflatten(blocks[:, 48:], 1, (4, 32))).flatten(1, 2)
    return _scaled_parts(blocks, q | (_bits(blocks[:, 16:48], 1) << 4))


def _q6_k(blocks: Tensor) -> Tensor:
    low = _nibbles(torch.unflatten(blocks[:, :128], 1, (2, 64))).flatten(1)
    high = _bits(torch.unflatten(blocks[:, 128:192], 1, (2, 32)), 2).flatten(1)
    q = torch.unflatten((low | (high << 4)).view(torch.int8) - 32, 1, (16, 16))
    steps = blocks[:, 192:208].view(torch.int8) * _scale(blocks, 208)
    return (q * steps[..., None]).flatten(1)


def _on_the_curve(q: Tensor) -> Tensor:
    curve = torch.tensor(CURVE, dtype=torch.float32, device=q.device)
    return curve.index_select(0, q.flatten().int()).view(q.shape)


def _iq4_nl(blocks: Tensor) -> Tensor:
    return _on_the_curve(_nibbles(blocks[:, 2:]).flatten(1)) * _scale(blocks, 0)


def _iq4_xs(blocks: Tensor) -> Tensor:
    low = torch.stack([blocks[:, 4:8] & 15, blocks[:, 4:8] >> 4], dim=-1).flatten(1)
    high = torch.stack([(blocks[:, 2:4] >> shift) & 3 for shift in (0, 2, 4, 6)], dim=-1).flatten(1)
    steps = ((low | (high << 4)).view(torch.int8) - 32) * _scale(blocks, 0)
    q = _on_the_curve(_nibbles(torch.unflatten(blocks[:, 8:], 1, (8, 16))).flatten(2))
    return (q * steps[..., None]).flatten(1)


_ROWS = (
    BlockFormat("Q8_0", 32, 34, _q8_0, (0,)),
    BlockFormat("Q4_0", 32, 18, _q4_0, (0,)),
    BlockFormat("Q4_1", 32, 20, _q4_1, (0, 2)),
    BlockFormat("Q5_0", 32, 22, _q5_0, (0,)),
    BlockFormat("Q5_1", 32, 24, _q5_1, (0, 2)),
    BlockFormat("Q2_K", 256, 84, _q2_k, (80, 82)),
    BlockFormat("Q3_K", 256, 110, _q3_k, (108,)),
    BlockFormat("Q4_K", 256, 144, _q4_k, (0, 2)),
    BlockFormat("Q5_K", 256, 176, _q5_k, (0, 2)),
    BlockFormat("Q6_K", 256, 210, _q6_k, (208,)),
    BlockFormat("IQ4_NL", 32, 18, _iq4_nl, (0,)),
    BlockFormat("IQ4_XS", 256, 136, _iq4_xs, (0,)),
)
FORMATS: Mapping[str, BlockFormat] = {row.name: row for row in _ROWS}

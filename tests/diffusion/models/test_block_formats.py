"""Blocks of every format stand for the very numbers that the gguf library makes of them."""

from __future__ import annotations

from typing import Any

import gguf
import numpy as np
import pytest
import torch
from torch import Tensor

from app.diffusion.models.block_formats import CPU_PIECE, FORMATS, BlockFormat

LIBRARY: Any = gguf
TYPES: Any = LIBRARY.GGMLQuantizationType
every_format = pytest.mark.parametrize("kind", list(FORMATS.values()), ids=list(FORMATS))


def blocks_of(kind: BlockFormat, count: int, seed: int = 1) -> Tensor:
    """Blocks with any bits but those of the scales, which are common numbers of either sign."""
    generator = np.random.default_rng(seed)
    blocks = generator.integers(0, 256, (count, kind.size), dtype=np.uint8)
    for place in kind.scales:
        scales = (generator.standard_normal((count, 1)) * 0.02).astype(np.float16)
        blocks[:, place : place + 2] = scales.view(np.uint8)
    return torch.as_tensor(blocks)


def of_the_library(kind: BlockFormat, blocks: Tensor) -> np.ndarray:
    return LIBRARY.quants.dequantize(blocks.numpy(), TYPES[kind.name]).reshape(-1)


@every_format
def test_sizes_are_those_of_the_format(kind: BlockFormat) -> None:
    assert LIBRARY.GGML_QUANT_SIZES[TYPES[kind.name]] == (kind.values, kind.size)
    assert kind.bytes_of(kind.values * 7) == kind.size * 7


@every_format
def test_values_are_the_library_s_bit_by_bit(kind: BlockFormat) -> None:
    blocks = blocks_of(kind, 500)
    assert kind.wide(blocks).numpy().tobytes() == of_the_library(kind, blocks).tobytes()


@every_format
def test_bytes_that_lie_anywhere_are_read_alike(kind: BlockFormat) -> None:
    """In a mapped file, and in a part of a matrix, scales need not lie where numbers of their type do."""
    blocks = blocks_of(kind, 9)
    shifted = torch.cat([torch.zeros(1, dtype=torch.uint8), blocks.flatten()])[1:].view(blocks.shape)
    assert shifted.data_ptr() % 2 == 1
    assert torch.equal(kind.wide(shifted), kind.wide(blocks))
    assert torch.equal(kind.wide(blocks[3:]), kind.wide(blocks)[3 * kind.values :])


@every_format
def test_many_are_widened_piece_by_piece(kind: BlockFormat) -> None:
    blocks = blocks_of(kind, 2 * CPU_PIECE // kind.values + 3)
    assert np.array_equal(kind.wide(blocks).numpy(), of_the_library(kind, blocks))


@every_format
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_other_precisions_round_once(kind: BlockFormat, dtype: torch.dtype) -> None:
    blocks = blocks_of(kind, 40)
    assert torch.equal(kind.wide(blocks, dtype), torch.as_tensor(of_the_library(kind, blocks)).to(dtype))


@every_format
def test_scales_tell_of_values_that_are_no_numbers(kind: BlockFormat) -> None:
    blocks = blocks_of(kind, 4)
    assert kind.scales_of(blocks).shape == (4, len(kind.scales))
    assert bool(kind.scales_of(blocks).isfinite().all()) and bool(kind.wide(blocks).isfinite().all())
    for place in kind.scales:
        damaged = blocks.clone()
        damaged[2, place : place + 2] = torch.tensor([0, 0x7C], dtype=torch.uint8)  # infinite
        assert not bool(kind.scales_of(damaged).isfinite().all())

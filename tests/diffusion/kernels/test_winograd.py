"""Winograd's convolution against the direct one in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from app.diffusion.kernels.strips import STRIP_ELEMENTS
from app.diffusion.kernels.winograd import convolve, transform_weight


def relative_error(dtype: torch.dtype, batch: int, channels: int, out: int, size: tuple[int, int]) -> float:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, channels, *size, generator=generator).to(dtype)
    kernel = (torch.randn(out, channels, 3, 3, generator=generator) * (9 * channels) ** -0.5).to(dtype)
    bias = torch.randn(out, generator=generator).to(dtype)
    exact = F.conv2d(x.double(), kernel.double(), bias.double(), padding=1)
    result = convolve(x.contiguous(memory_format=torch.channels_last), transform_weight(kernel), bias)
    assert result.dtype == dtype and result.is_contiguous(memory_format=torch.channels_last)
    return float((result.double() - exact).norm() / exact.norm())


@pytest.mark.parametrize("size", [(2, 2), (8, 8), (6, 20), (34, 16)])
def test_it_is_the_direct_convolution(size: tuple[int, int]) -> None:
    assert relative_error(torch.float32, 2, 24, 40, size) < 2e-6
    assert relative_error(torch.bfloat16, 2, 24, 40, size) < 1e-2


def test_strips_join_without_a_seam() -> None:
    channels, size = 64, (128, 192)
    assert 4 * channels * size[0] * size[1] > 2 * STRIP_ELEMENTS  # several strips
    assert relative_error(torch.float32, 1, channels, 16, size) < 2e-6


def test_without_bias_zeros_give_zeros() -> None:
    kernel = transform_weight(torch.randn(8, 8, 3, 3))
    assert not convolve(torch.zeros(1, 8, 4, 4), kernel, None).any()


def test_a_kernel_that_copies_copies() -> None:
    kernel = torch.zeros(3, 3, 3, 3)
    kernel[range(3), range(3), 1, 1] = 1
    x = torch.randn(1, 3, 6, 4)
    assert torch.allclose(convolve(x, transform_weight(kernel), None), x, atol=1e-6)

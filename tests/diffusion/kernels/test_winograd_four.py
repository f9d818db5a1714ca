"""Winograd's convolution with tiles of 4 × 4 pixels against the direct one in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from app.diffusion.kernels.strips import STRIP_ELEMENTS
from app.diffusion.kernels.winograd_four import POINTS, convolve, transform_weight

BOUNDS = {torch.float32: 4e-6, torch.bfloat16: 4e-2}


def relative_error(dtype: torch.dtype, batch: int, channels: int, out: int, size: tuple[int, int]) -> float:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, channels, *size, generator=generator).to(dtype)
    kernel = (torch.randn(out, channels, 3, 3, generator=generator) * (9 * channels) ** -0.5).to(dtype)
    exact = F.conv2d(x.double(), kernel.double(), padding=1)
    result = convolve(x.contiguous(memory_format=torch.channels_last), transform_weight(kernel), None)
    assert result.dtype == dtype and result.is_contiguous(memory_format=torch.channels_last)
    return float((result.double() - exact).norm() / exact.norm())


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("size", [(4, 4), (8, 8), (12, 20), (36, 16)])
def test_it_is_the_direct_convolution(dtype: torch.dtype, size: tuple[int, int]) -> None:
    assert relative_error(dtype, 2, 24, 40, size) < BOUNDS[dtype]


def test_strips_join_without_a_seam() -> None:
    channels, size = 64, (192, 192)
    assert 36 * channels * size[0] * size[1] // 16 > 2 * STRIP_ELEMENTS  # several strips
    assert relative_error(torch.float32, 1, channels, 16, size) < BOUNDS[torch.float32]


def test_the_bias_reaches_every_pixel() -> None:
    bias = torch.arange(8.0)
    result = convolve(torch.zeros(1, 8, 8, 4), transform_weight(torch.randn(8, 8, 3, 3)), bias)
    assert torch.equal(result, bias[None, :, None, None].expand(1, 8, 8, 4))


def test_a_kernel_that_copies_copies() -> None:
    kernel = torch.zeros(3, 3, 3, 3)
    kernel[range(3), range(3), 1, 1] = 1
    x = torch.randn(1, 3, 8, 4)
    assert torch.allclose(convolve(x, transform_weight(kernel), None), x, atol=1e-5)


def test_in_exact_arithmetic_nothing_is_lost() -> None:
    """In float64 what is left is rounding alone: the identities hold at these points."""
    assert len(set(POINTS)) == 5
    x, kernel = torch.randn(1, 3, 8, 8, dtype=torch.float64), torch.randn(4, 3, 3, 3, dtype=torch.float64)
    # The taps are made in float32, as their matrices are.
    torch.testing.assert_close(
        convolve(x, transform_weight(kernel), None), F.conv2d(x, kernel, padding=1), atol=1e-5, rtol=1e-5
    )

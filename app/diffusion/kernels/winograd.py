"""3 × 3 convolution by Winograd's minimal filtering F(2 × 2, 3 × 3): 16 products for 4 pixels instead of 36.

Lavin & Gray 2016 (arXiv:1509.09308), section 4. On a CPU the products are matrix products, the transforms are sums over
slices; strips of rows keep what lies between them in cache. In float32 the result differs from the direct sum by about
8e-7 of its norm, in bfloat16 by 5e-3, where direct bfloat16 differs by 3e-3.

B batch, C channels in, O channels out, H × W pixels, h × w tiles of 2 × 2 pixels
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from app.diffusion.kernels.matrices import Matrices
from app.diffusion.kernels.strips import by_strips


def transform_weight(weight: Tensor) -> Matrices:
    """G·g·Gᵀ of every kernel of (O, C, 3, 3): one matrix for each place in the 4 × 4 tile, row by row.

    Those of the last row are negative, as all that is made of them is subtracted.
    """
    taps = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], device=weight.device)
    tiles = torch.einsum("ar,ocrs,bs->aboc", taps, weight.float(), taps)
    tiles[3] = -tiles[3]
    return Matrices.of(tiles.flatten(0, 1).to(weight.dtype))


def convolve(x: Tensor, weight: Matrices, bias: Tensor | None) -> Tensor:
    """(B, C, H, W) → (B, O, H, W) in channels-last order, padded by one pixel of zeros; H and W are even."""
    return by_strips(x, 2, weight.width, partial(_convolve_strip, weight=weight, bias=bias))


def _convolve_strip(padded: Tensor, out: Tensor, weight: Matrices, bias: Tensor | None) -> None:
    """Write the tiles of one strip of the padded input (B, 2h + 2, 2w + 2, C) to out (B, h, 2, w, 2, O)."""
    batch, rows, _, columns, _, width_out = out.shape
    by_row = _input_sums([padded[:, i : i + 2 * rows : 2] for i in range(4)])  # 4 × (B, h, 2w + 2, C)
    tiles = _input_sums([by_row[:, :, :, i : i + 2 * columns : 2] for i in range(4)])  # (4, 4, B, h, w, C)
    by_column = [_by_row(weight, column, x, bias) for column, x in enumerate(tiles.flatten(2, 4).unbind())]
    for parts, pixels in zip(zip(*by_column, strict=True), out.unbind(2), strict=True):
        first, second, third, fourth = (part.view(batch, rows, columns, width_out) for part in parts)
        even, odd = pixels.unbind(3)
        torch.add(second + third, first, out=even)
        torch.sub(second.sub_(third), fourth, out=odd)


def _by_row(weight: Matrices, column: int, x: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """One column's products (4, M, C) → (M, O) twice, summed to the even and to the odd rows of pixels.

    The first and the last product count in one of the sums only, and are added while they are computed. The product in
    the middle counts in all four pixels of a tile, and brings them the bias.
    """
    top, upper, lower, bottom = x.unbind()
    second = weight.product(4 + column, upper, bias if column == 1 else None)
    third = weight.product(8 + column, lower)
    return weight.added(column, top, second + third), weight.added(12 + column, bottom, second.sub_(third))


def _input_sums(taps: list[Tensor]) -> Tensor:
    """Bᵀ·d along one axis: (4, …) of four slices."""
    first, second, third, fourth = taps
    sums = first.new_empty(4, *first.shape)
    places = sums.unbind()
    torch.sub(first, third, out=places[0])
    torch.add(second, third, out=places[1])
    torch.sub(third, second, out=places[2])
    torch.sub(second, fourth, out=places[3])
    return sums

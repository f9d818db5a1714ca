"""Canny's edges (1986, IEEE PAMI 8(6)), as ControlNets for line drawings are shown them.

B images, H × W pixels
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from app.images.filters import blur

RADIUS, DEVIATION = 2, 1.0
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
# The neighbour in the direction of the gradient, for each eighth of a turn.
NEIGHBOURS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))


def canny(image: Tensor, low: float, high: float) -> Tensor:
    """(B, H, W, 3) in 0..1 → (B, H, W), 1 on edges.

    Edges are ridges of Sobel's gradient, which is up to 4·√2 long, that exceed `high`, or `low` and hang together with
    such ones.
    """
    grey = (image[..., :3].float() * image.new_tensor(LUMA)).sum(-1, keepdim=True)
    smooth = blur(grey, RADIUS, DEVIATION).movedim(-1, 1)  # (B, 1, H, W)
    sobel = smooth.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    kernels = torch.stack([sobel, sobel.T])[:, None]
    gradient = functional.conv2d(functional.pad(smooth, (1, 1, 1, 1), mode="replicate"), kernels)
    strength = gradient.square().sum(1).sqrt()
    ridge = _ridges(strength, torch.atan2(gradient[:, 1], gradient[:, 0]))
    return _connected(ridge & (strength > low), ridge & (strength > high)).to(image.dtype)


def _ridges(strength: Tensor, angle: Tensor) -> Tensor:
    """Where the strength is larger than at both neighbours along the gradient."""
    height, width = strength.shape[-2:]
    padded = functional.pad(strength, (1, 1, 1, 1))
    around = torch.stack([padded[:, 1 + y : 1 + y + height, 1 + x : 1 + x + width] for y, x in NEIGHBOURS])
    ahead = (angle / (torch.pi / 4)).round().long() % 8
    before = (ahead + 4) % 8
    return (strength > around.gather(0, ahead[None])[0]) & (strength > around.gather(0, before[None])[0])


def _connected(weak: Tensor, strong: Tensor) -> Tensor:
    """All weak places from which a way over weak places leads to a strong one."""
    while True:
        grown = functional.max_pool2d(strong[:, None].float(), 3, stride=1, padding=1)[:, 0] > 0
        grown = (grown & weak) | strong
        if torch.equal(grown, strong):
            return strong
        strong = grown

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from app.images.colours import from_ycbcr, to_ycbcr

torch.manual_seed(0)
IMAGE = torch.rand(1, 20, 30, 3)


def test_brightness_and_colour_are_jpegs() -> None:
    eight = (IMAGE[0] * 255).round()
    theirs = np.asarray(Image.fromarray(eight.byte().numpy()).convert("YCbCr"))
    ours = to_ycbcr(eight / 255) * 255
    ours[..., 1:] += 0.5  # their middle is 128, ours 127.5
    assert float((ours - torch.from_numpy(theirs.copy())).abs().max()) < 1.01


def test_there_and_back() -> None:
    torch.testing.assert_close(from_ycbcr(to_ycbcr(IMAGE)), IMAGE)
    found = from_ycbcr(torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.5, 0.5]]))
    assert found.min() == 0 and found.max() == 1
    torch.testing.assert_close(found[2], torch.ones(3))

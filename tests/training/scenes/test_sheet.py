"""The contact sheet holds every picture."""

from __future__ import annotations

import torch

from app.training.scenes.sheet import PADDING, PAPER, contact_sheet


def test_each_picture_is_on_the_sheet() -> None:
    images = torch.zeros(5, 3, 16, 16)
    for index in range(5):
        images[index, 0] = (index + 1) / 10
    sheet = contact_sheet(images, [f"picture {index}" for index in range(5)], columns=2)
    width = 2 * 16 + PADDING
    reds = {sheet.getpixel((PADDING + column * width + 5, PADDING + 5)) for column in range(2)}
    assert reds == {(26, 0, 0), (51, 0, 0)}
    assert sheet.getpixel((1, 1)) == PAPER
    assert sheet.size[0] == 2 * width + PADDING

from __future__ import annotations

from typing import Any

import torch

BLACK, WHITE = torch.zeros(1, 4, 4, 3), torch.ones(1, 4, 4, 3)


def test_one_image_on_another(bench: Any) -> None:
    pasted = bench("ImageCompositeMasked", destination=BLACK, source=WHITE[:, :2, :2], x=1, y=2)
    assert bool((pasted[0, 2:, 1:3] == 1).all())
    assert pasted.sum() == 12
    masked = bench("ImageCompositeMasked", destination=BLACK, source=WHITE, mask=torch.zeros(1, 4, 4))
    assert not masked.any()


def test_channels_follow_the_destination(bench: Any) -> None:
    onto_alpha = bench("ImageCompositeMasked", destination=torch.zeros(1, 4, 4, 4), source=WHITE)
    assert bool((onto_alpha == 1).all())
    assert bench("ImageCompositeMasked", destination=BLACK, source=torch.ones(1, 4, 4, 4)).shape[-1] == 3


def test_blending(bench: Any) -> None:
    assert torch.allclose(bench("ImageBlend", image1=BLACK, image2=WHITE, blend_factor=0.3), torch.tensor(0.3))
    small = bench("ImageBlend", image1=WHITE, image2=BLACK[:, :1, :2], blend_mode="multiply", blend_factor=1.0)
    assert small.shape == (1, 4, 4, 3)
    assert not small.any()


def test_two_batches_become_one(bench: Any) -> None:
    assert bench("ImageBatch", image1=BLACK, image2=torch.ones(2, 8, 2, 3)).shape == (3, 4, 4, 3)


def test_a_larger_canvas(bench: Any) -> None:
    image, mask = bench("ImagePadForOutpaint", image=BLACK, left=8, bottom=8, feathering=0)
    assert image.shape == (1, 12, 12, 3)
    assert mask.sum() == 12 * 12 - 16


def test_alpha_is_joined_and_split(bench: Any) -> None:
    alpha = torch.zeros(1, 4, 4)
    alpha[:, 0] = 1
    joined = bench("JoinImageWithAlpha", image=WHITE, alpha=alpha)
    assert joined.shape == (1, 4, 4, 4)
    assert joined[0, 0, 0, 3] == 0
    image, mask = bench("SplitImageWithAlpha", image=joined)
    assert torch.equal(image, WHITE)
    assert torch.equal(mask, alpha)
    assert not bench("SplitImageWithAlpha", image=WHITE)[1].any()


def test_source_over_destination(bench: Any) -> None:
    opaque, clear = torch.zeros(1, 4, 4), torch.ones(1, 2, 2)
    sides = {"source": WHITE, "destination": BLACK, "destination_alpha": opaque}
    image, mask = bench("PorterDuffImageComposite", **sides, source_alpha=opaque, mode="SRC_OVER")
    assert bool((image == 1).all())
    assert not mask.any()
    image, _ = bench("PorterDuffImageComposite", **sides, source_alpha=clear, mode="SRC_OVER")
    assert not image.any()

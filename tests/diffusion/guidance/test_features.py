from __future__ import annotations

import pytest
import torch
from torch import Tensor

from app.diffusion.guidance.features import free_u, interpolated, low_frequencies_scaled, scaled_attention, shrunk
from app.diffusion.models.hooks import Looking, NetworkHooks, Place


def entered(hooks: NetworkHooks, place: Place, x: Tensor, skip: Tensor | None) -> tuple[Tensor, Tensor | None]:
    return hooks.at(*place).entered(x, skip)


def test_low_frequencies_alone_are_scaled():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 8, 8, generator=generator)
    halved = low_frequencies_scaled(x, 1, 0.5)
    before, after = (torch.fft.fft2(value) for value in (x, halved))
    # Within one of the middle: frequencies −1 and 0 along each side; the real part of what is left is what counts.
    assert torch.allclose(after[..., 0, 0], before[..., 0, 0] / 2, atol=1e-5)
    assert torch.allclose(after[..., 2:7, 2:7], before[..., 2:7, 2:7], atol=1e-4)
    assert torch.allclose(low_frequencies_scaled(x, 3, 1.0), x, atol=1e-6)
    assert torch.allclose(low_frequencies_scaled(torch.ones(1, 1, 7, 5), 1, 0.2), torch.full((1, 1, 7, 5), 0.2))


@pytest.mark.parametrize("by_content", [False, True])
def test_free_u_strengthens_half_of_the_features_on_the_way_up(by_content: bool):
    hooks = free_u(2, (1.5, 3.0), (0.5, 0.25), by_content=by_content)(1.0)
    for channels, factor, weakness in ((8, 1.5, 0.5), (4, 3.0, 0.25)):
        x, skip = torch.ones(1, channels, 4, 4), torch.ones(1, channels, 4, 4)
        x[..., :2, :] = 2.0  # the mean, stretched, is 1 in the upper half and 0 in the lower
        got, weaker = entered(hooks, Place("output", 3), x, skip)
        half = channels // 2
        assert torch.allclose(got[:, half:], x[:, half:])
        assert torch.allclose(got[:, :half, :2], x[:, :half, :2] * factor)
        assert torch.allclose(got[:, :half, 2:], x[:, :half, 2:] * (1.0 if by_content else factor))
        assert weaker is not None
        assert torch.allclose(weaker, skip * weakness, atol=1e-6)


def test_free_u_leaves_other_places_alone():
    hooks = free_u(2, (1.5, 3.0), (0.5, 0.25), by_content=False)(1.0)
    x = torch.ones(1, 8, 4, 4)
    assert torch.equal(entered(hooks, Place("input", 3), x, None)[0], x)
    assert torch.equal(entered(hooks, Place("output", 3), x[:, :2], x)[0], x[:, :2])


def test_attention_is_scaled_by_name():
    hooks = scaled_attention("attn2", 2.0, 3.0, 5.0, 7.0)(1.0)
    q = torch.ones(1, 2, 2)
    for name, expected in (("attn2", 2 + 3 + 5), ("attn1", 3)):
        at = hooks.at("input", 1).looking(name, 0, 1)
        assert at is not None
        assert at.attend(lambda q, k, v: q + k + v)(q, q, q).unique().item() == expected
        assert at.attended(q).unique().item() == (7 if name == "attn2" else 1)


@pytest.mark.parametrize("after_skip", [True, False])
def test_deep_blocks_get_fewer_places_and_the_way_up_gets_them_back(after_skip: bool):
    resize = interpolated("bilinear")
    at = shrunk(3, 2.0, start=9.0, end=1.0, after_skip=after_skip, resize=resize, enlarge=resize)
    assert not at(9.5)
    assert not at(0.5)
    hooks, x = at(5.0), torch.ones(1, 4, 8, 6)
    left = hooks.at("input", 3).left(x)
    assert left.shape[-2:] == ((8, 6) if after_skip else (4, 3))
    smaller, _ = entered(hooks, Place("input", 4), left, None)
    assert smaller.shape[-2:] == (4, 3)
    assert entered(hooks, Place("input", 2), x, None)[0].shape == x.shape
    assert entered(hooks, Place("output", 5), smaller, x)[0].shape == x.shape


def test_looking_names_what_it_is():
    assert Looking("attn1", Place("input", 1), 0, 8).place.part == "input"

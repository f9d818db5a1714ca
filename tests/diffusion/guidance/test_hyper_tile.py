from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from app.diffusion.guidance.hyper_tile import hyper_tile
from app.diffusion.models.hooks import Looking, NetworkHooks, Place
from app.diffusion.models.unet import UNet, UNetConfig

PLACE = Place("input", 1)


def plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(q, k, v)


def by_tiles(grid: Tensor, down: int, across: int) -> Tensor:
    """Attention of (B, h, w, C) within each tile, one after the other."""
    rows, columns = grid.shape[1] // down, grid.shape[2] // across
    result = torch.empty_like(grid)
    for i in range(down):
        for j in range(across):
            part = grid[:, i * rows : (i + 1) * rows, j * columns : (j + 1) * columns]
            tokens = part.flatten(1, 2)
            result[:, i * rows : (i + 1) * rows, j * columns : (j + 1) * columns] = plain(
                tokens, tokens, tokens
            ).view_as(part)
    return result


def hooks_for(hooks: NetworkHooks, height: int, width: int) -> NetworkHooks:
    for hook in hooks.entering:
        hook(Place("input", 0), torch.zeros(1, 4, height, width), None)
    return hooks


def attended(hooks: NetworkHooks, grid: Tensor, name: str = "attn1") -> Tensor:
    (attend,) = hooks.attend
    tokens = grid.flatten(1, 2)
    return attend(Looking(name, PLACE, 0, 1), plain)(tokens, tokens, tokens).view_as(grid)


@pytest.mark.parametrize(("height", "width", "down", "across"), [(8, 12, 2, 3), (16, 16, 4, 4), (6, 10, 1, 2)])
def test_attention_stays_within_tiles(height: int, width: int, down: int, across: int) -> None:
    torch.manual_seed(0)
    grid = torch.randn(2, height, width, 5)
    hooks = hooks_for(hyper_tile(4, 1, 0)(0.5), height, width)
    torch.testing.assert_close(attended(hooks, grid), by_tiles(grid, down, across))


def test_text_and_deeper_levels_are_left_as_they_are() -> None:
    torch.manual_seed(0)
    hooks = hooks_for(hyper_tile(2, 1, 0)(0.5), 16, 16)
    deep = torch.randn(1, 8, 8, 3)
    tokens = deep.flatten(1, 2)
    assert torch.equal(attended(hooks, deep), plain(tokens, tokens, tokens).view_as(deep))
    grid = torch.randn(1, 16, 16, 3)
    tokens = grid.flatten(1, 2)
    assert torch.equal(attended(hooks, grid, "attn2"), plain(tokens, tokens, tokens).view_as(grid))
    reached = hooks_for(hyper_tile(2, 1, 1)(0.5), 16, 16)
    torch.testing.assert_close(attended(reached, deep), by_tiles(deep, 4, 4))


def test_tiles_may_grow_with_the_level() -> None:
    deep = torch.randn(1, 8, 8, 3)
    hooks = hooks_for(hyper_tile(2, 1, 1, grows=True)(0.5), 16, 16)
    torch.testing.assert_close(attended(hooks, deep), by_tiles(deep, 2, 2))


def test_tilings_differ_from_step_to_step_and_a_step_has_always_the_same() -> None:
    torch.manual_seed(0)
    grid = torch.randn(1, 16, 16, 3)

    def at(sigma: float) -> Tensor:
        return attended(hooks_for(hyper_tile(2, 3, 0)(sigma), 16, 16), grid)

    found = [at(sigma / 10) for sigma in range(1, 13)]
    possible = [by_tiles(grid, a, b) for a in (8, 4, 2) for b in (8, 4, 2)]
    matches = [[torch.allclose(one, other, atol=1e-6) for other in possible].index(True) for one in found]
    assert len(set(matches)) > 2
    assert torch.equal(at(0.3), at(0.3))


def test_a_u_net_in_one_tile_is_the_u_net() -> None:
    torch.manual_seed(0)
    shape = {"channel_mult": (1, 2), "num_res_blocks": 1, "transformer_depth": (1, 1), "heads": 2, "groups": 4}
    network = UNet(UNetConfig(model_channels=16, context_width=8, **shape))
    x, context = torch.randn(1, 4, 12, 8), torch.randn(1, 3, 8)
    with torch.no_grad():
        usual = network(x, torch.tensor([3.0]), context)
        whole = network(x, torch.tensor([3.0]), context, hooks=hyper_tile(12, 1, 3)(0.5))
        tiled = network(x, torch.tensor([3.0]), context, hooks=hyper_tile(2, 1, 3)(0.5))
    torch.testing.assert_close(whole, usual)
    assert not torch.allclose(tiled, usual, atol=1e-4)

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from app.diffusion.models.controlnet_sd3 import SD3Control, SD3ImageControl, placed_tokens, tokens
from app.errors import InvalidRequest
from tests.nodes.control_files import SD3, SORTS, transformer

TIMES = torch.tensor([3.0, 870.0])


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(4, 6), (5, 7)])
@torch.inference_mode()
def test_there_is_a_residual_for_each_patch_after_each_block(size: tuple[int, int]) -> None:
    patches = -(-size[0] // 2) * -(-size[1] // 2)
    network = SORTS["InstantX, SD3"].network
    assert isinstance(network, SD3Control)
    x, seen, context = normal(2, 16, *size), normal(2, 16, *size, seed=2), normal(2, 5, 16, seed=3)
    found = network(x, TIMES, seen, context)
    assert [tuple(each.shape) for each in found] == [(2, patches, 128)] * 2
    alone = network(x[1:], TIMES[1:], seen[1:], context[1:])
    assert all(torch.allclose(one, both[1:], atol=1e-5) for one, both in zip(alone, found, strict=True))


@torch.inference_mode()
def test_stability_s_takes_the_patches_of_the_model() -> None:
    network, base, x = SORTS["Stability, blur"].network, transformer("sd3"), normal(2, 16, 4, 6)
    assert isinstance(network, SD3ImageControl)
    patches, seen, vector = placed_tokens(base, x), normal(2, 16, 4, 6, seed=2), normal(2, 8, seed=3)
    found = network(patches, TIMES, seen, vector)
    assert [tuple(each.shape) for each in found] == [(2, 6, 128)] * 2
    # Each block goes on where the last one ended: to change what the first one adds changes the second's residual.
    network.get_parameter("transformer_blocks.0.mlp.fc2.bias").add_(1)
    changed = network(patches, TIMES, seen, vector)
    assert not torch.allclose(changed[1], found[1], atol=1e-3)
    assert torch.equal(network(patches, TIMES, seen)[1], network(patches, TIMES, seen, torch.zeros(2, 8))[1])


@torch.inference_mode()
def test_patches_have_places() -> None:
    base = transformer("sd3")
    x = normal(1, 16, 4, 4)
    away = placed_tokens(base, x) - tokens(base.x_embedder, x)
    table = base.pos_embed.unflatten(1, (8, 8))[:, 3:5, 3:5].flatten(1, 2)
    assert torch.allclose(away, table, atol=1e-6), "the middle of the table"
    side = 2 * SD3.places + 2
    with pytest.raises(InvalidRequest, match=f"latent of 4 × {side} is larger"):
        placed_tokens(base, normal(1, 16, side, 4))


@torch.inference_mode()
def test_layers_without_weights_say_nothing() -> None:
    """As they are when training begins."""
    network = SORTS["InstantX, SD3"].network
    for parameter in network.controlnet_blocks.parameters():
        parameter.zero_()
    for residual in network(normal(2, 16, 4, 6), TIMES, normal(2, 16, 4, 6), normal(2, 5, 16)):
        assert not bool(residual.any())

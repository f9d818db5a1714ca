"""Blocks that compute again give the same results and gradients, and keep less in between."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.diffusion.adapters.twin import independent
from app.diffusion.models.flux import Flux, FluxConfig
from app.diffusion.models.mmdit import MMDiT, MMDiTConfig
from app.training.adapters.recomputing import recompute_blocks
from app.weights.checkpoint import Checkpoint
from tests.training.adapters.support import said


class Kept:
    """Counts the numbers that are kept for the way back."""

    def __init__(self) -> None:
        self.numbers = 0

    def pack(self, tensor: Tensor) -> Tensor:
        self.numbers += tensor.numel()
        return tensor

    def unpack(self, tensor: Tensor) -> Tensor:
        return tensor


def gradient(network: nn.Module, *given: Any, **named: Any) -> tuple[Tensor, int]:
    """(the gradient at the input, how many numbers were kept)."""
    x = torch.randn(2, *given[0][1:], generator=torch.Generator().manual_seed(1)).requires_grad_()
    kept = Kept()
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, kept.unpack):
        out = network(x, *given[1:], **named)
    out.square().sum().backward()
    assert x.grad is not None
    return x.grad, kept.numbers


def test_a_u_net_has_the_same_gradients_and_keeps_less(tiny: Checkpoint) -> None:
    context = said(tiny)[0][0].expand(2, -1, -1)
    given = (2, 4, 8, 8), torch.tensor([0.5, 0.9]), context
    plain = independent(tiny.model.network).requires_grad_(False)
    again = independent(tiny.model.network).requires_grad_(False)
    assert recompute_blocks(again) > 5
    first, second = gradient(plain, *given), gradient(again, *given)
    torch.testing.assert_close(second[0], first[0])
    assert second[1] < first[1] / 3
    assert recompute_blocks(again) == 0


def test_the_model_that_it_comes_from_is_not_touched(tiny: Checkpoint) -> None:
    kinds = [type(module) for module in tiny.model.network.modules()]
    recompute_blocks(independent(tiny.model.network))
    assert [type(module) for module in tiny.model.network.modules()] == kinds


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_transformers_have_the_same_gradients(family: str) -> None:
    torch.manual_seed(3)
    network: nn.Module
    if family == "sd3":
        network = MMDiT(MMDiTConfig(depth=2, width=128, places=8, context_width=16, vector_width=16, channels=4))
        size, named = (1, 4, 8, 8), {"context": torch.randn(2, 3, 16), "vector": torch.randn(2, 16)}
    else:
        network = Flux(
            FluxConfig(
                in_channels=16,
                out_channels=16,
                width=128,
                heads=1,
                double=1,
                single=1,
                context_width=16,
                vector_width=8,
            )
        )
        size, named = (1, 16, 4, 4), {"context": torch.randn(2, 3, 16), "vector": torch.randn(2, 8)}
    for parameter in network.requires_grad_(False).parameters():
        nn.init.normal_(parameter, std=0.1)
    given = size, torch.tensor([0.5, 0.9])
    first = gradient(network, *given, **named)
    assert recompute_blocks(network) == 2
    second = gradient(network, *given, **named)
    torch.testing.assert_close(second[0], first[0])
    assert second[1] < first[1]

"""A branch adds to a layer's output what the same tensors, put into its weight, would."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from app.diffusion.noise import generator_for
from app.training.adapters.branch import Branch, Layer, added_by
from app.training.adapters.parts import FRESH
from app.weights.adapters.reading import changes_in

LAYERS: list[tuple[Layer, tuple[int, ...]]] = [
    (nn.Linear(6, 8), (2, 5, 6)),
    (nn.Conv2d(4, 8, 3, padding=1), (2, 4, 5, 5)),
    (nn.Conv2d(4, 8, 3, stride=2, padding=1), (2, 4, 6, 6)),
    (nn.Conv2d(4, 8, 1, bias=False), (2, 4, 3, 3)),
    (nn.Conv1d(4, 8, 1), (2, 4, 7)),
]


def moved(algorithm: str, layer: Layer) -> Branch:
    """A branch as it may be in the middle of training."""
    branch = Branch(FRESH[algorithm](layer.weight.shape, 4, generator_for(2)))
    for index, part in enumerate(branch.parameters()):
        part.data = torch.randn(part.shape, generator=generator_for(index)) * 0.3
    return branch


@pytest.mark.parametrize("algorithm", list(FRESH))
@pytest.mark.parametrize(("layer", "size"), LAYERS)
def test_the_output_is_that_of_the_changed_weight(algorithm: str, layer: Layer, size: tuple[int, ...]) -> None:
    branch, x = moved(algorithm, layer), torch.randn(size)
    before = layer(x)
    handle = layer.register_forward_hook(partial(added_by, branch))
    beside = layer(x)
    handle.remove()
    weight = layer.weight.data
    try:
        layer.weight.data = branch.change().applied(weight, 1.0).detach()
        inside = layer(x)
    finally:
        layer.weight.data = weight
    torch.testing.assert_close(beside, inside, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(beside, before, atol=1e-2)


@pytest.mark.parametrize("algorithm", list(FRESH))
def test_all_parts_but_alpha_get_gradients(algorithm: str) -> None:
    layer = nn.Linear(6, 8).requires_grad_(False)
    branch = moved(algorithm, layer)
    branch(layer, torch.randn(3, 6)).square().sum().backward()
    assert all(part.grad is not None and bool(part.grad.any()) for part in branch.parameters())
    assert layer.weight.grad is None
    assert "alpha" not in branch.trained


@pytest.mark.parametrize("algorithm", list(FRESH))
def test_the_tensors_are_read_as_the_same_change(algorithm: str) -> None:
    layer = nn.Conv2d(4, 8, 3)
    branch = moved(algorithm, layer)
    tensors = {f"diffusion_model.x.{name}": part for name, part in branch.tensors(torch.float32).items()}
    read = changes_in(tensors)
    assert read.unknown == []
    changed = read.weights["diffusion_model.x"].applied(layer.weight, 1.0)
    torch.testing.assert_close(changed, branch.change().applied(layer.weight, 1.0))


def test_tensors_are_copies_in_the_precision_asked_for() -> None:
    branch = moved("LoRA", nn.Linear(6, 8))
    half, whole = branch.tensors(torch.bfloat16), branch.tensors(torch.float32)
    assert half["lora_up.weight"].dtype == torch.bfloat16
    assert half["alpha"].dtype == torch.float32
    whole["lora_up.weight"].zero_()
    assert bool(branch.trained["up"].any())


def test_a_tiny_change_is_not_rounded_away_in_bfloat16() -> None:
    layer = nn.Linear(4, 4, bias=False).bfloat16()
    layer.weight.data = torch.eye(4, dtype=torch.bfloat16)
    tiny = {"up": torch.eye(4) * 1e-4, "down": torch.eye(4)}
    added = Branch(tiny)(layer, torch.ones(1, 4, dtype=torch.bfloat16))
    torch.testing.assert_close(added.float(), torch.full((1, 4), 1e-4), rtol=0.01, atol=0)
    assert torch.equal((layer.weight.float() + 1e-4 * torch.eye(4)).bfloat16(), layer.weight)

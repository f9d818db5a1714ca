from __future__ import annotations

import pytest
import torch
from torch import nn

from app.diffusion.guidance.hypernetworks import ACTIVATIONS, Hypernetwork, Layer
from app.diffusion.models.hooks import Looking, Place

LOOKING = Looking("attn2", Place("input", 1), 0, 1)


def layer(inner: int, outer: int, activation: str = "linear", *, norm: bool = False) -> Layer:
    weights = torch.randn(outer), torch.randn(outer)
    return Layer(torch.randn(outer, inner), torch.randn(outer), activation, weights if norm else None)


def test_layers_are_torchs_own_one_after_the_other() -> None:
    torch.manual_seed(0)
    first, second = layer(4, 8, "mish", norm=True), layer(8, 4)
    theirs = nn.Sequential(nn.Linear(4, 8), nn.Mish(), nn.LayerNorm(8), nn.Linear(8, 4))
    assert first.norm is not None
    given = {"0.weight": first.weight, "0.bias": first.bias, "2.weight": first.norm[0], "2.bias": first.norm[1]}
    theirs.load_state_dict({**given, "3.weight": second.weight, "3.bias": second.bias})
    x = torch.randn(2, 3, 4)
    torch.testing.assert_close(second(first(x)), theirs(x))


def test_keys_and_values_get_layers_of_their_own() -> None:
    torch.manual_seed(0)
    keys, values = [layer(4, 8, "relu"), layer(8, 4)], [layer(4, 4)]
    (sources,) = Hypernetwork({4: (keys, values)}).hooks(0.5)(1.0).sources
    x, text = torch.randn(1, 6, 5), torch.randn(1, 3, 4)
    found = sources(LOOKING, (x, text, text))
    assert found[0] is x
    torch.testing.assert_close(found[1], text + 0.5 * keys[1](keys[0](text)))
    torch.testing.assert_close(found[2], text + 0.5 * values[0](text))
    assert all(a is b for a, b in zip(sources(LOOKING, (x, x, x)), (x, x, x), strict=True)), "another width"


def test_half_precision_stays_half_precision() -> None:
    (sources,) = Hypernetwork({4: ([layer(4, 4, norm=True)], [layer(4, 4)])}).hooks(1.0)(1.0).sources
    text = torch.randn(1, 3, 4, dtype=torch.bfloat16)
    assert sources(LOOKING, (text, text, text))[1].dtype == torch.bfloat16


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name not in ("linear", "swish")])
def test_activations_are_torchs_of_that_name(name: str) -> None:
    module = next(kind for word, kind in vars(nn).items() if word.lower() == name)
    x = torch.linspace(-4, 4, 33)
    torch.testing.assert_close(ACTIVATIONS[name](x), module()(x))

"""Networks that keep their weights in 8 bits compute nearly what they did, and give their values to whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.diffusion.adapters.change import Edit, Place
from app.diffusion.adapters.full import Difference
from app.diffusion.adapters.twin import settle, value_of, with_edits
from app.diffusion.models.eight_bit import (
    EIGHT_BITS,
    EightBitConv2d,
    EightBitLinear,
    keep_in_eight_bits,
    packed,
)
from app.diffusion.models.flux import Flux, FluxConfig
from app.diffusion.models.mmdit import MMDiT, MMDiTConfig
from app.diffusion.models.narrow import narrow_layer
from app.diffusion.models.unet import UNet, UNetConfig
from tests.parity.test_networks import randomise

ROUNDING = {torch.float8_e4m3fn: 2**-4, torch.float8_e5m2: 2**-3}  # half of the last of 3 or 2 bits, at most


def pack(network: nn.Module, kept: torch.dtype = torch.float8_e4m3fn) -> None:
    keep_in_eight_bits(network, kept)
    for layer in network.modules():
        if isinstance(layer, EightBitLinear | EightBitConv2d):
            layer.pack(layer.weight)


def images(channels: int) -> tuple[Tensor, Tensor]:
    return torch.randn(1, channels, 8, 8, generator=torch.Generator().manual_seed(3)), torch.tensor([500.0])


def unet() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    config = UNetConfig(model_channels=32, channel_mult=(1, 2), transformer_depth=(1, 1), heads=4, context_width=24)
    return UNet(config), lambda net: net(*images(4), torch.ones(1, 5, 24))


def mmdit() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    network = MMDiT(MMDiTConfig(2, 128, 4, 24, 20, 12))
    return network, lambda net: net(*images(4), torch.ones(1, 5, 24), torch.ones(1, 20))


def flux() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    network = Flux(FluxConfig(4, 4, 64, 2, 2, 2, 24, 20, axes=(8, 12, 12)))
    said = {"guidance": torch.tensor([3.5])}
    return network, lambda net: net(images(4)[0], torch.tensor([0.5]), torch.ones(1, 5, 24), torch.ones(1, 20), **said)


@pytest.mark.parametrize("kept", EIGHT_BITS)
@pytest.mark.parametrize("make", [unet, mmdit, flux])
@torch.no_grad()
def test_every_kind_of_network_computes_nearly_the_same(make: Callable[[], Any], kept: torch.dtype) -> None:
    network, call = make()
    randomise(network, 5)
    expected = call(network)
    matrices = sum(value.numel() for name, value in network.named_parameters() if value.dim() > 1)
    pack(network, kept)
    in_eight = sum(value.numel() for value in network.parameters() if value.dtype == kept)
    assert in_eight > 0.9 * matrices, "nearly everything takes a byte"
    error = float((call(network) - expected).norm() / expected.norm())
    assert 1e-4 < error < 2 * ROUNDING[kept], error


@pytest.mark.parametrize("kept", EIGHT_BITS)
def test_small_and_large_values_keep_their_digits(kept: torch.dtype) -> None:
    value = torch.randn(4, 300, generator=torch.Generator().manual_seed(1)) * torch.tensor(
        [[1e-6], [1.0], [1e6], [0.0]]
    )
    eight, scale = packed(value, kept)
    assert eight.dtype == kept and scale.shape == (4, 1)
    back = eight.float() * scale
    large = value.abs() > 0.05 * value.abs().amax(dim=1, keepdim=True)
    assert float(((back - value).abs()[large] / value.abs()[large]).max()) <= ROUNDING[kept] * 1.01
    assert torch.equal(back[3], value[3])


def test_a_kernel_has_a_scale_for_each_of_its_outputs() -> None:
    eight, scale = packed(torch.randn(5, 3, 3, 3), torch.float8_e4m3fn)
    assert eight.shape == (5, 3, 3, 3) and scale.shape == (5, 1, 1, 1)


def test_what_is_written_are_the_values() -> None:
    network = nn.Sequential(nn.Linear(8, 4), nn.Conv2d(2, 2, 1))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    pack(network)
    state = network.state_dict()
    assert set(state) == set(before), "the scales are nobody else's business"
    for key, value in before.items():
        assert torch.allclose(state[key].float(), value, rtol=0.07, atol=0.01)


def test_another_precision_takes_the_scales_along() -> None:
    network = nn.Sequential(nn.Linear(8, 4))
    weight = network.get_parameter("0.weight").clone()
    pack(network)
    network.to(torch.float16)
    assert network.get_parameter("0.weight").dtype == torch.float16
    assert torch.allclose(network.get_parameter("0.weight").float(), weight, rtol=0.07, atol=0.01)
    assert narrow_layer(network, "0.weight") is None


@torch.no_grad()
def test_an_edit_is_of_the_values_and_leaves_the_origin_alone() -> None:
    origin = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 4))
    randomise(origin, 1)
    pack(origin)
    before = value_of(origin, "0.weight").clone()
    twin = with_edits(origin, [Edit(Place("0.weight"), Difference(torch.full((4, 8), 100.0)))])
    settle(twin)
    assert torch.allclose(value_of(twin, "0.weight"), before + 100.0, rtol=0.07)
    assert torch.equal(value_of(origin, "0.weight"), before)
    assert twin.get_parameter("0.weight").dtype == torch.float8_e4m3fn
    assert twin.get_parameter("1.weight").data_ptr() == origin.get_parameter("1.weight").data_ptr()
    assert float((origin(torch.ones(1, 8)) - twin(torch.ones(1, 8))).abs().max()) > 100


@torch.no_grad()
def test_products_of_eight_bits_are_nearly_those_of_the_values() -> None:
    network = randomise(nn.Sequential(nn.Linear(64, 48)), 2)
    x = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(4)) * 30
    expected = network(x).detach()
    keep_in_eight_bits(network, torch.float8_e4m3fn, fast=True)
    layer = network[0]
    assert isinstance(layer, EightBitLinear)
    layer.pack(layer.weight)
    product = layer.product(x)
    assert product.shape == (2, 5, 48)
    assert float((product - expected).norm() / expected.norm()) < ROUNDING[torch.float8_e4m3fn]
    assert torch.equal(layer(x), nn.functional.linear(x, layer.wide(x.dtype), layer.bias)), "not on this device"

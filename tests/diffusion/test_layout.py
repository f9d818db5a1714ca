"""A prepared network computes what it did."""

from __future__ import annotations

import torch

from app.diffusion.layout import prepare
from app.diffusion.models.convolution import Conv3x3
from app.diffusion.models.unet import UNet, UNetConfig

WIDE = UNetConfig(
    model_channels=256, channel_mult=(1, 1), num_res_blocks=1, transformer_depth=(0, 1), heads=4, context_width=16
)


def test_a_prepared_network_gives_the_same() -> None:
    torch.manual_seed(0)
    network = UNet(WIDE).eval()
    x, t, context = torch.randn(1, 4, 8, 8), torch.tensor([500.0]), torch.randn(1, 5, 16)
    names = set(network.state_dict())
    with torch.no_grad():
        expected = network(x, t, context)
        assert prepare(network, 1 << 30) > 0
        assert torch.allclose(network(x, t, context), expected, atol=1e-4)
    assert set(network.state_dict()) == names


def test_it_takes_no_more_than_it_was_given() -> None:
    network = UNet(WIDE)
    wide = [layer for layer in network.modules() if isinstance(layer, Conv3x3) and layer.second_form_bytes]
    room = wide[0].second_form_bytes * 2
    assert prepare(network) == 0
    assert not any(layer.quick for layer in wide)
    assert 0 < prepare(network, room) <= room
    assert 0 < sum(layer.quick for layer in wide) < len(wide)

"""However a network keeps its weights, whoever asks for shapes and values gets those of the weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from app.diffusion.models.controlnet import ControlNet, ControlNetConfig
from app.diffusion.models.controlnet_lora import ControlLora
from app.diffusion.models.eight_bit import keep_in_eight_bits
from app.diffusion.models.narrow import NarrowWeight, kept_value, narrow_layer, shape_of, weight_shapes, widen
from app.diffusion.models.unet import UNet, UNetConfig
from app.extend.facade.comfy.model_base import swapped
from tests.diffusion.models.test_block_quantised import put_blocks


def put_eight_bits(network: nn.Module) -> list[str]:
    keep_in_eight_bits(network, torch.float8_e4m3fn)
    names = [name for name, _ in network.named_parameters() if name.endswith("weight")]
    for name in names:
        layer = network.get_submodule(name.removesuffix(".weight"))
        if isinstance(layer, NarrowWeight):
            layer.widen(layer.stored / 100)  # a scale of its own is needed
            layer.change(lambda value: value)
    return [name for name in names if narrow_layer(network, name)]


both = pytest.mark.parametrize("put", [put_blocks, put_eight_bits])
Put = Callable[[nn.Module], list[str]]


@both
def test_shapes_and_values_are_the_weights(put: Put) -> None:
    network = nn.Sequential(nn.Linear(64, 32), nn.Conv2d(32, 8, 3), nn.LayerNorm(8))
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
    names = put(network)
    assert names == ["0.weight", "1.weight"] and weight_shapes(network) == shapes
    assert narrow_layer(network, "0.bias") is None and narrow_layer(network, "2.weight") is None
    values = {name: kept_value(network, name, torch.float32) for name in names}
    assert {name: tuple(value.shape) for name, value in values.items()} == {name: shapes[name] for name in names}
    assert kept_value(network, "0.bias").data_ptr() == network.get_parameter("0.bias").data_ptr()
    widen(network, torch.float32)
    assert all(torch.equal(network.get_parameter(name), value) for name, value in values.items())
    assert shape_of(network, "1.weight") == (8, 32, 3, 3) and narrow_layer(network, "1.weight") is None


@both
@torch.no_grad()
def test_packs_put_other_values_there_for_a_while(put: Put) -> None:
    network = nn.Sequential(nn.Linear(64, 32))
    put(network)
    x = torch.randn(2, 64)
    before, bias = network(x), network.get_parameter("0.bias")
    with swapped(network, {"0.weight": torch.ones(32, 64), "0.bias": torch.zeros(32)}):
        torch.testing.assert_close(network(x), x.sum(1, keepdim=True).expand(2, 32))
    assert torch.equal(network(x), before) and bool(bias.any())


def values_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: kept_value(network, name, torch.float32) for name, _ in network.named_parameters()}


@both
@torch.no_grad()
def test_a_control_lora_adds_to_the_values(put: Put) -> None:
    config = UNetConfig(model_channels=32, channel_mult=(1,), transformer_depth=(1,), heads=4, context_width=24)
    network = UNet(config)
    names = put(network)
    taken, left = "middle_block.1.transformer_blocks.0.attn1.to_q.weight", "time_embed.0.weight"
    assert {taken, left} <= set(names)
    own = ControlNet(ControlNetConfig(config)).state_dict()
    layer = taken.removesuffix(".weight")
    up, down = torch.randn(32, 2), torch.randn(2, 32)
    said = {name: value for name, value in own.items() if name not in values_of(network)}
    made = ControlLora({**said, f"{layer}.up": up, f"{layer}.down": down}).made_for(network)
    kept = values_of(network)
    torch.testing.assert_close(made.get_parameter(left), kept[left])
    torch.testing.assert_close(made.get_parameter(taken), kept[taken] + up @ down)

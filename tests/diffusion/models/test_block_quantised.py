"""Networks that keep their weights in blocks compute what the blocks stand for, and give it to whoever asks."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from app.diffusion.adapters.change import Edit, Place
from app.diffusion.adapters.full import Difference
from app.diffusion.adapters.low_rank import LowRank
from app.diffusion.adapters.merge import departed, merged
from app.diffusion.adapters.twin import in_precision, independent, settle, value_of, with_edits
from app.diffusion.adapters.widened import Widened
from app.diffusion.compiled import compiled
from app.diffusion.layout import prepare
from app.diffusion.models.block_formats import FORMATS, BlockFormat
from app.diffusion.models.block_quantised import BlockConv2d, BlockEmbedding, BlockLinear, keep_in_blocks
from app.diffusion.models.narrow import narrow_layer, shape_of, weight_shapes, widen
from app.diffusion.models.second_form import SecondForm
from app.diffusion.models.stored import StoredEmbedding
from app.memory.residency import module_bytes
from app.memory.sizes import size_of
from tests.diffusion.models.test_block_formats import blocks_of
from tests.diffusion.models.test_eight_bit import flux, mmdit, unet
from tests.parity.test_networks import randomise


def suitable(network: nn.Module, kind: BlockFormat) -> list[str]:
    layers = (nn.Linear, nn.Conv2d, StoredEmbedding)
    return [
        f"{path}.weight"
        for path, layer in cast("Iterable[tuple[str, nn.Module]]", network.named_modules())
        if isinstance(layer, layers) and cast("Any", layer).weight[0].numel() % kind.values == 0
    ]


def put_blocks(network: nn.Module, kind: BlockFormat = FORMATS["Q8_0"]) -> list[str]:
    """Random blocks for all weights that fit; their names."""
    names = suitable(network, kind)
    for seed, (name, layer) in enumerate(keep_in_blocks(network, dict.fromkeys(names, kind)).items()):
        count = layer.stored.numel() // kind.values
        blocks = blocks_of(kind, count, seed) if kind.values == 256 else finer(kind, count, seed)
        layer.register_parameter("weight", nn.Parameter(blocks, requires_grad=False))
        assert narrow_layer(network, name) is layer
    return names


def finer(kind: BlockFormat, count: int, seed: int) -> Tensor:
    """With scales that make numbers as small as weights are."""
    blocks = blocks_of(kind, count, seed)
    blocks[:, 1] = (blocks[:, 1] & 0x83) | 0x14  # exponents of float16 near 2 to the power -10
    return blocks


def wide_copy(network: nn.Module) -> nn.Module:
    made = independent(network)
    widen(made, torch.float32)
    return made


@pytest.mark.parametrize("kind", ["Q8_0", "Q5_1", "Q4_0"])
@pytest.mark.parametrize("make", [unet, mmdit, flux])
@torch.no_grad()
def test_every_kind_of_network_computes_what_the_blocks_stand_for(make: Callable[[], Any], kind: str) -> None:
    network, call = make()
    randomise(network, 5)
    before = call(network)
    names = put_blocks(network, FORMATS[kind])
    assert len(names) > 0.4 * sum(value.dim() > 1 for value in network.parameters())
    wide = wide_copy(network)
    assert not any(narrow_layer(wide, name) for name in names)
    result = call(network)
    torch.testing.assert_close(result, call(wide), rtol=1e-5, atol=1e-6)
    assert result.isfinite().all() and not torch.allclose(result, before)


@pytest.mark.parametrize("kind", ["Q4_K", "Q5_K", "Q6_K", "IQ4_XS"])
@torch.no_grad()
def test_layers_of_larger_blocks(kind: str) -> None:
    network = nn.Sequential(nn.Linear(512, 8), nn.Linear(8, 4))
    assert put_blocks(network, FORMATS[kind]) == ["0.weight"]
    x = torch.randn(2, 3, 512, generator=torch.Generator().manual_seed(1))
    assert torch.equal(network(x), wide_copy(network)(x))
    half = network[:1].to(torch.bfloat16)(x.bfloat16())
    assert half.dtype == torch.bfloat16, "the precision of what is given"
    assert isinstance(network[0], BlockLinear) and network[0].is_narrow


@torch.no_grad()
def test_convolutions_whose_kernels_share_blocks() -> None:
    """4 · 3 · 3 numbers of an output are no whole blocks; 8 outputs of them are."""
    network = nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, padding=1))
    keep_in_blocks(network, {"0.weight": FORMATS["Q8_0"]})
    layer = network[0]
    assert isinstance(layer, BlockConv2d)
    layer.register_parameter("weight", nn.Parameter(finer(FORMATS["Q8_0"], 9, 1), requires_grad=False))
    assert layer.wide_shape == (8, 4, 3, 3)
    x = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    expected = nn.functional.conv2d(x, layer.wide(torch.float32), layer.bias, 2, 1)
    assert torch.equal(network(x), expected)
    assert prepare(network) == 0, "blocks are in no order that a processor would want otherwise"


@torch.no_grad()
def test_of_a_table_only_the_rows_that_are_asked_for_are_made() -> None:
    network = nn.ModuleDict({"shared": StoredEmbedding(50, 64), "other": nn.Embedding(50, 64)})
    assert put_blocks(network) == ["shared.weight"]
    table = network["shared"]
    assert isinstance(table, BlockEmbedding)
    tokens = torch.tensor([[3, 49, 3], [0, 7, 8]])
    rows = table(tokens)
    assert rows.shape == (2, 3, 64) and torch.equal(rows, table.wide(torch.float32)[tokens])
    edited = with_edits(network, [Edit(Place("shared.weight"), Difference(torch.ones(50, 64)))])
    settle(edited)
    assert torch.allclose(edited["shared"](tokens), rows + 1)
    widen(network, torch.bfloat16)
    assert torch.equal(network["shared"](tokens), rows.bfloat16().float())


def test_layers_without_a_stand_in_stay() -> None:
    network = nn.ModuleDict({"norm": nn.LayerNorm(32), "table": nn.Embedding(4, 32), "narrow": StoredEmbedding(4, 8)})
    kind = FORMATS["Q8_0"]
    assert keep_in_blocks(network, {f"{name}.weight": kind for name in network} | {"norm.bias": kind}) == {}
    assert keep_in_blocks(nn.Linear(32, 32), {"weight": kind}) == {}, "a network that is one layer"


def layers() -> nn.Sequential:
    network = nn.Sequential(nn.Linear(64, 32), nn.Linear(32, 32))
    put_blocks(network)
    return network


@torch.no_grad()
def test_an_edit_is_added_as_the_weight_is_used_and_costs_no_memory() -> None:
    origin = layers()
    before = value_of(origin, "0.weight").clone()
    up, down = torch.randn(32, 2), torch.randn(2, 64)
    edit = Edit(Place("0.weight"), LowRank(up, down), 0.5)
    twin = with_edits(origin, [edit])
    x = torch.randn(3, 64)
    expected = nn.functional.linear(x, before + 0.5 * up @ down, origin.get_parameter("0.bias"))
    torch.testing.assert_close(
        twin[:1](x), nn.functional.linear(x, before, origin.get_parameter("0.bias"))
    )  # not settled yet
    settle(twin)
    torch.testing.assert_close(twin[:1](x), expected)
    assert torch.equal(value_of(origin, "0.weight"), before)
    assert twin.get_parameter("0.weight").data_ptr() == origin.get_parameter("0.weight").data_ptr()
    assert size_of([origin, twin]) == size_of([origin])
    further = with_edits(independent(twin), [edit])
    settle(further)
    torch.testing.assert_close(value_of(further, "0.weight"), before + up @ down)
    assert torch.allclose(twin.state_dict()["0.weight"].float(), value_of(twin, "0.weight"), rtol=2**-8)


@torch.no_grad()
def test_a_weight_that_grows_becomes_wide() -> None:
    origin = layers()
    before = value_of(origin, "0.weight")
    grown = Edit(Place("0.weight"), Widened(Difference(torch.ones(32, 96)), (32, 96)), grows=True)
    twin = with_edits(origin, [grown])
    settle(twin)
    assert shape_of(twin, "0.weight") == (32, 96) and shape_of(origin, "0.weight") == (32, 64)
    torch.testing.assert_close(value_of(twin, "0.weight"), torch.cat([before, torch.zeros(32, 32)], 1) + 1)
    assert twin[0](torch.ones(1, 96)).shape == (1, 32)


@torch.no_grad()
def test_sums_of_models_take_in_every_weight() -> None:
    first, second = layers(), layers()
    second.get_parameter("0.weight").data = second.get_parameter("0.weight").flip(0)
    plain = wide_copy(second)
    assert weight_shapes(first) == {name: tuple(value.shape) for name, value in plain.named_parameters()}
    for other in (second, plain):
        for made in (merged(first, other, lambda _: (0.25, 0.75)), departed(first, other, 0.75)):
            settle(made)
            mean = 0.25 * value_of(first, "0.weight") + 0.75 * value_of(second, "0.weight")
            torch.testing.assert_close(value_of(made, "0.weight"), mean)


def test_what_is_written_are_the_values() -> None:
    network = layers()
    state = network.state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == weight_shapes(network)
    assert torch.equal(state["0.weight"], value_of(network, "0.weight").bfloat16())


def test_another_precision_leaves_the_blocks_alone() -> None:
    network = layers()
    half = in_precision(network, torch.bfloat16)
    x = torch.randn(2, 64).bfloat16()
    assert half(x).dtype == torch.bfloat16
    assert half.get_parameter("0.weight").data_ptr() == network.get_parameter("0.weight").data_ptr()
    assert network.to(torch.float16).get_parameter("1.weight").dtype == torch.uint8
    assert network[0].bias.dtype == torch.float16


def test_what_a_network_takes_is_what_its_blocks_take() -> None:
    network = nn.Sequential(nn.Linear(1024, 1024, bias=False))
    put_blocks(network, FORMATS["Q4_K"])
    assert module_bytes(network) == 1024 * 1024 // 256 * 144 and module_bytes(network) <= size_of(network)
    assert size_of(network) < 1.01 * module_bytes(network)
    assert not any(isinstance(layer, SecondForm) for layer in network.modules())


@torch.no_grad()
def test_other_values_for_a_while() -> None:
    network = layers()
    layer, x = narrow_layer(network, "0.weight"), torch.ones(1, 64)
    assert layer is not None
    before = network(x)
    with layer.holding(torch.zeros(32, 64)):
        assert not layer.is_narrow and torch.equal(layer(x)[0], network.get_parameter("0.bias"))
    assert layer.is_narrow and torch.equal(network(x), before)


@torch.no_grad()
def test_copies_and_other_processes() -> None:
    network = layers()
    x = torch.ones(1, 64)
    for made in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(made(x), network(x))


@torch.no_grad()
def test_networks_in_blocks_can_be_compiled() -> None:
    network = layers()
    x = torch.ones(1, 64)
    torch.testing.assert_close(compiled(network, "eager")(x), network(x))


def test_gradients_pass_through() -> None:
    network = layers()
    x = torch.ones(1, 64, requires_grad=True)
    network(x).sum().backward()
    expected = (value_of(network, "1.weight") @ value_of(network, "0.weight")).sum(0)
    assert x.grad is not None
    torch.testing.assert_close(x.grad[0], expected)

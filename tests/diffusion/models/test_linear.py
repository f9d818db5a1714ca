"""Packed weights give what plain ones do, follow changes, and stay out of the way of gradients and 8-bit weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from app.diffusion.adapters.change import Edit, Place
from app.diffusion.adapters.full import Replacement
from app.diffusion.adapters.twin import with_edits
from app.diffusion.layout import prepare
from app.diffusion.models.attention import GEGLU, CrossAttention
from app.diffusion.models.convolution import Conv1x1
from app.diffusion.models.eight_bit import keep_in_eight_bits
from app.diffusion.models.linear import Linear
from app.diffusion.models.second_form import added

TOLERANCES = {torch.bfloat16: 2e-2, torch.float32: 1e-5}
# In float32 small matrices are not packed.
each_precision = pytest.mark.parametrize(("dtype", "width"), [(torch.bfloat16, 24), (torch.float32, 1 << 15)])


def quick_layer(out: int = 40, dtype: torch.dtype = torch.bfloat16, width: int = 24) -> Linear:
    torch.manual_seed(0)
    layer = Linear(width, out).to(dtype)
    layer.quick = True
    return layer


def plain(layer: nn.Linear, x: Tensor) -> Tensor:
    return x.float() @ layer.weight.float().t() + layer.bias.float()


@pytest.mark.parametrize("shape", [(1,), (2,), (2, 7), (600,)])
@pytest.mark.parametrize("out", [40, 3])
@each_precision
def test_packed_or_not_the_values_are_the_same(
    shape: tuple[int, ...], out: int, dtype: torch.dtype, width: int
) -> None:
    layer, x = quick_layer(out, dtype, width), torch.randn(*shape, width).to(dtype)
    with torch.inference_mode():
        result = layer(x)
    assert result.shape == (*shape, out)
    assert torch.allclose(result.float(), plain(layer, x), atol=TOLERANCES[dtype])
    assert layer.second_form_bytes == width * out * dtype.itemsize


def test_small_matrices_in_full_precision_and_halves_are_left_alone() -> None:
    assert quick_layer(dtype=torch.float32).second_form_bytes == 0
    assert quick_layer(dtype=torch.float16, width=1 << 15).second_form_bytes == 0


def test_changed_weights_are_seen() -> None:
    layer, x = quick_layer(), torch.randn(3, 24).bfloat16()
    with torch.no_grad():
        layer(x)
        layer.weight.mul_(0.5)
        assert torch.allclose(layer(x).float(), plain(layer, x), atol=2e-2)
        whole = copy.deepcopy(layer).float()
        assert torch.allclose(whole(x.float()), plain(layer, x), atol=1e-5)
    assert whole.second_form_bytes == 0


def test_gradients_go_the_direct_way() -> None:
    layer = quick_layer()
    layer(torch.randn(3, 24).bfloat16()).float().sum().backward()
    assert layer.weight.grad is not None


@each_precision
def test_a_gated_layer_is_the_same_in_halves(dtype: torch.dtype, width: int) -> None:
    torch.manual_seed(0)
    layer, x = GEGLU(width, 40).to(dtype), torch.randn(2, 7, width).to(dtype)
    with torch.inference_mode():
        expected = copy.deepcopy(layer).float()(x.float())
        assert prepare(layer, 1 << 25) == width * 80 * dtype.itemsize
        assert torch.allclose(layer(x).float(), expected, atol=TOLERANCES[dtype])
        layer.proj.weight.mul_(2)
        assert not torch.allclose(layer(x).float(), expected, atol=2e-2)
    keep_in_eight_bits(layer, torch.float8_e4m3fn)
    assert layer(x).shape == (2, 7, 40)


@each_precision
def test_a_pixelwise_layer_is_the_same_with_packed_weights(dtype: torch.dtype, width: int) -> None:
    torch.manual_seed(0)
    layer = Conv1x1(width, 40).to(dtype)
    x = torch.randn(2, width, 3, 5).to(dtype).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = layer(x).float()
        assert prepare(layer, 1 << 25) == width * 40 * dtype.itemsize
        assert torch.allclose(layer(x).float(), expected, atol=TOLERANCES[dtype])


def attention(context_width: int | None = None, dtype: torch.dtype = torch.bfloat16, width: int = 32) -> CrossAttention:
    torch.manual_seed(0)
    return CrossAttention(width, 2, width // 2, context_width).to(dtype).requires_grad_(False)


@pytest.mark.parametrize("context_width", [None, 12])
@pytest.mark.parametrize(("dtype", "width"), [(torch.bfloat16, 32), (torch.float32, 256)])
def test_attention_is_the_same_with_packed_weights(context_width: int | None, dtype: torch.dtype, width: int) -> None:
    layer, x = attention(context_width, dtype, width), torch.randn(2, 9, width).to(dtype)
    text = None if context_width is None else torch.randn(2, 5, context_width).to(dtype)
    with torch.inference_mode():
        expected = layer(x, text)
        taken = prepare(layer, 1 << 25)
        result = layer(x, text)
    projections = 3 if context_width is None else 1  # a text's keys and values are made once, and not packed
    assert taken == (projections + 1) * width * width * dtype.itemsize
    assert torch.allclose(result.float(), expected.float(), atol=TOLERANCES[dtype])


@pytest.mark.parametrize("context_width", [None, 12])
@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("tokens", [9, 1 << 14])  # the text is folded in one of two ways
def test_what_attention_says_can_be_added_as_it_comes(context_width: int | None, quick: bool, tokens: int) -> None:
    layer, x, to = (
        attention(context_width),
        torch.randn(2, tokens, 32).bfloat16(),
        torch.randn(2, tokens, 32).bfloat16(),
    )
    text = None if context_width is None else torch.randn(2, 5, context_width).bfloat16()
    prepare(layer, quick << 20)
    with torch.inference_mode():
        if context_width is None:
            x, to = x[:, :100], to[:, :100]
        kept, result = to.clone(), layer.added(x, to, text)
        torch.testing.assert_close(result, to + layer(x, text), atol=3e-2, rtol=1e-2)
        assert torch.equal(to, kept)


@pytest.mark.parametrize("quick", [False, True])
def test_what_a_layer_makes_can_be_added_as_it_comes(quick: bool) -> None:
    layer, x = quick_layer(), torch.randn(2, 7, 24).bfloat16()
    layer.quick = quick
    to = torch.randn(2, 40, 7).bfloat16().transpose(1, 2)  # in any order
    with torch.inference_mode():
        kept, result = to.clone(), added(layer, x, to)
        torch.testing.assert_close(result, to + layer(x), atol=3e-2, rtol=1e-2)
        assert torch.equal(to, kept)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("quick", [False, True])
def test_what_a_pixelwise_layer_makes_can_be_added_as_it_comes(order: torch.memory_format, quick: bool) -> None:
    layer = Conv1x1(24, 40).to(torch.bfloat16)
    layer.quick = quick
    x, to = (torch.randn(2, width, 3, 5).bfloat16().contiguous(memory_format=order) for width in (24, 40))
    with torch.inference_mode():
        torch.testing.assert_close(added(layer, x, to), to + layer(x), atol=3e-2, rtol=1e-2)


def test_those_who_watch_a_layer_see_what_it_makes_by_itself() -> None:
    layer, x, to = quick_layer(), torch.randn(3, 24).bfloat16(), torch.randn(3, 40).bfloat16()
    seen: list[Tensor] = []

    def watch(_layer: nn.Module, _given: object, made: Tensor) -> None:
        seen.append(made)

    layer.register_forward_hook(watch)
    with torch.inference_mode():
        result = added(layer, x, to)
        assert torch.equal(seen[0], layer(x)) and torch.equal(result, to + seen[0])


def test_a_change_of_one_of_three_joined_weights_is_seen() -> None:
    layer, x = attention(), torch.randn(2, 9, 32).bfloat16()
    prepare(layer, 1 << 20)
    with torch.no_grad():
        before = layer(x)
        layer.to_v.weight.mul_(3)
        after = layer(x)
    bias = layer.to_out[0].bias
    assert torch.allclose((after - bias).float(), 3 * (before - bias).float(), atol=5e-2)


def test_weights_in_eight_bits_are_not_joined() -> None:
    layer, x = attention(), torch.randn(2, 9, 32).bfloat16()
    prepare(layer, 1 << 20)
    with torch.inference_mode():
        expected = layer(x)
    keep_in_eight_bits(layer, torch.float8_e4m3fn)
    for part in (layer.to_q, layer.to_k, layer.to_v):
        part.pack(part.weight)  # type: ignore[operator]
    with torch.inference_mode():
        result = layer(x)
    assert torch.allclose(result.float(), expected.float(), atol=0.1)
    assert layer.second_form_bytes == 0


def test_a_network_and_its_twin_keep_forms_of_their_own() -> None:
    layer, x = quick_layer().requires_grad_(False), torch.randn(3, 24).bfloat16()
    network = nn.Sequential(layer)
    with torch.inference_mode():
        expected = network(x)
        twin = with_edits(network, [Edit(Place("0.bias"), Replacement(torch.zeros(40)), 1.0)])
        doubled = with_edits(network, [Edit(Place("0.weight"), Replacement(2 * layer.weight.float()), 1.0)])
        for _ in range(2):  # in turn
            assert torch.allclose(twin(x) + layer.bias, expected, atol=2e-2)
            assert torch.allclose(doubled(x) - expected, expected - layer.bias, atol=5e-2)
            assert torch.equal(network(x), expected)


def test_those_who_watch_a_layer_inside_attention_or_a_gate_are_called() -> None:
    looking, gated = attention(context_width=12), GEGLU(32, 40).to(torch.bfloat16).requires_grad_(False)
    x, text = torch.randn(2, 9, 32).bfloat16(), torch.randn(2, 5, 12).bfloat16()
    called: list[nn.Module] = []

    def watch(layer: nn.Module, _given: object, _made: Tensor) -> None:
        called.append(layer)

    for whole, layer in ((looking, looking.to_q), (looking, looking.to_out[0]), (gated, gated.proj)):
        prepare(whole, 1 << 20)
        handle = layer.register_forward_hook(watch)
        with torch.inference_mode():
            whole(x, text) if whole is looking else whole(x)
        assert called.pop() is layer
        handle.remove()

"""Layers, attention and the other small pieces that packs build networks from."""

from __future__ import annotations

import importlib
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.extend.facade.bridge import FacadeHost

HALF = torch.float16
LAYERS: dict[str, tuple[Any, ...]] = {
    "Linear": ((4, 3), (2, 4)),
    "Conv2d": ((4, 3, 3), (1, 4, 5, 5)),
    "Conv3d": ((4, 3, 1), (1, 4, 2, 2, 2)),
    "GroupNorm": ((2, 4), (1, 4, 3, 3)),
    "LayerNorm": ((4,), (2, 4)),
}


@pytest.fixture
def ops(host: FacadeHost) -> Any:
    return importlib.import_module("comfy.ops")


@pytest.mark.parametrize(("name", "sizes"), LAYERS.items())
def test_layers_compute_in_the_precision_of_their_input(ops: Any, name: str, sizes: Any) -> None:
    arguments, shape = sizes
    cast, x = getattr(ops.manual_cast, name)(*arguments), torch.rand(shape)
    plain = getattr(nn, name)(*arguments)
    cast.load_state_dict(plain.state_dict())
    assert torch.allclose(cast(x), plain(x), atol=1e-6)
    cast.to(torch.float64)
    result = cast(x)
    assert result.dtype == torch.float32
    assert torch.allclose(result, plain(x), atol=1e-5)


@pytest.mark.parametrize(("name", "sizes"), LAYERS.items())
def test_layers_without_casting_are_torchs(ops: Any, name: str, sizes: Any) -> None:
    arguments, shape = sizes
    ours, theirs = getattr(ops.disable_weight_init, name)(*arguments), getattr(nn, name)(*arguments)
    ours.load_state_dict(theirs.state_dict())
    assert isinstance(ours, getattr(nn, name))
    x = torch.rand(shape)
    assert torch.equal(ours(x), theirs(x))


def test_rows_of_a_table_in_another_precision(ops: Any) -> None:
    table = ops.disable_weight_init.Embedding(3, 2)
    table.weight.data.fill_(0.5)
    assert table(torch.tensor([1])).dtype == torch.float32
    assert table(torch.tensor([1]), out_dtype=HALF).dtype == HALF


@pytest.mark.parametrize(("dims", "name"), [(2, "Conv2d"), (3, "Conv3d")])
def test_convolutions_by_number_of_dimensions(ops: Any, dims: int, name: str) -> None:
    assert isinstance(ops.manual_cast.conv_nd(dims, 1, 1, 1), getattr(ops.manual_cast, name))
    with pytest.raises(ValueError, match="over 1 dimensions"):
        ops.disable_weight_init.conv_nd(1, 1, 1, 1)


@pytest.mark.parametrize(
    ("weights", "compute", "casts"), [(HALF, None, False), (HALF, HALF, False), (HALF, torch.float32, True)]
)
def test_which_layers_to_use(ops: Any, weights: Any, compute: Any, casts: bool) -> None:
    assert (ops.pick_operations(weights, compute) is ops.manual_cast) is casts


def test_weights_for_an_input(ops: Any) -> None:
    layer = ops.manual_cast.Linear(2, 2)
    weight, bias = ops.cast_bias_weight(layer, torch.ones(1, dtype=HALF))
    assert (weight.dtype, bias.dtype) == (HALF, HALF)
    weight, bias = ops.cast_bias_weight(ops.manual_cast.Linear(2, 2, bias=False), dtype=torch.float64)
    assert (weight.dtype, bias) == (torch.float64, None)
    assert ops.cast_to_input(weight, torch.ones(1, dtype=HALF)).dtype == HALF


# ---------------------------------------------------------------- attention


def by_hand(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """softmax(QKᵀ/√d)V, written out."""
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, k, v))
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    scores = scores if mask is None else scores + mask
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


@pytest.fixture
def attention(host: FacadeHost) -> Any:
    return importlib.import_module("comfy.ldm.modules.attention")


@pytest.mark.parametrize("name", ["basic", "pytorch", "split", "sub_quad"])
def test_every_form_of_attention(attention: Any, name: str) -> None:
    q, k, v = (torch.randn(2, tokens, 8) for tokens in (3, 5, 5))
    assert torch.allclose(getattr(attention, f"attention_{name}")(q, k, v, 2), by_hand(q, k, v, 2), atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5), (2, 1, 3, 5)])
def test_masks_of_any_rank(attention: Any, shape: tuple[int, ...]) -> None:
    q, k, v = (torch.randn(2, tokens, 8) for tokens in (3, 5, 5))
    mask = torch.randn(shape)
    full = mask if mask.ndim != 3 else mask[:, None]
    result = attention.optimized_attention_masked(q, k, v, 2, mask)
    assert torch.allclose(result, by_hand(q, k, v, 2, full), atol=1e-5)


def test_heads_that_are_apart_already(attention: Any) -> None:
    q, k, v = (torch.randn(2, 5, 8) for _ in range(3))
    apart = [part.unflatten(-1, (2, -1)).transpose(1, 2) for part in (q, k, v)]
    expected = by_hand(q, k, v, 2)
    assert torch.allclose(attention.optimized_attention(*apart, 2, skip_reshape=True), expected, atol=1e-5)
    kept = attention.optimized_attention(*apart, 2, skip_reshape=True, skip_output_reshape=True)
    assert torch.allclose(kept.transpose(1, 2).flatten(2), expected, atol=1e-5)
    assert attention.optimized_attention_for_device("cpu", small_input=True) is attention.optimized_attention


def test_a_value_or_its_default(attention: Any) -> None:
    assert [attention.default(0, 5), attention.default(None, 5), attention.default(None, lambda: 6)] == [0, 5, 6]


# ---------------------------------------------------------------- pieces of transformers


def test_norms_and_small_networks(host: FacadeHost) -> None:
    layers, dit = importlib.import_module("comfy.ldm.flux.layers"), importlib.import_module("comfy.ldm.common_dit")
    x = torch.tensor([[3.0, 4.0]])
    norm = layers.RMSNorm(2)
    norm.scale.data = torch.tensor([1.0, 2.0])
    rms = math.sqrt(12.5)
    assert norm(x).flatten().tolist() == pytest.approx([3 / rms, 8 / rms])
    assert dit.rms_norm(x, torch.tensor([1.0, 2.0])).flatten().tolist() == pytest.approx([3 / rms, 8 / rms])
    network = layers.MLPEmbedder(2, 3)
    hidden = network.in_layer(x)
    assert torch.allclose(network(x), network.out_layer(hidden * torch.sigmoid(hidden)))


@pytest.mark.parametrize(("dim", "width"), [(4, 4), (5, 5)])
def test_waves_of_time(host: FacadeHost, dim: int, width: int) -> None:
    layers = importlib.import_module("comfy.ldm.flux.layers")
    waves = layers.timestep_embedding(torch.tensor([0.001]), dim, max_period=100)
    expected = [math.cos(1), math.cos(0.1), math.sin(1), math.sin(0.1)]
    assert waves.shape == (1, width)
    assert waves[0, :4].tolist() == pytest.approx(expected, abs=1e-5)


def test_rotations_keep_lengths_and_depend_on_distance(host: FacadeHost) -> None:
    rotary = importlib.import_module("comfy.ldm.flux.math")
    turns = rotary.rope(torch.arange(6.0)[None], 8, 10000)
    q, k = torch.randn(1, 1, 8).expand(1, 6, 8), torch.randn(1, 1, 8).expand(1, 6, 8)
    turned_q, turned_k = rotary.apply_rope(q, k, turns)
    assert torch.allclose(turned_q.norm(dim=-1), q.norm(dim=-1), atol=1e-5)
    near, far = (turned_q[0, i] @ turned_k[0, i + 2] for i in (0, 3))
    assert near.item() == pytest.approx(far.item(), abs=1e-4)


@pytest.mark.parametrize(
    ("shape", "patch", "expected"),
    [((1, 1, 4, 4), (2, 2), (4, 4)), ((1, 1, 5, 7), (2, 4), (6, 8)), ((1, 1, 1, 3, 3), (1, 2, 2), (1, 4, 4))],
)
def test_pictures_are_filled_up_to_whole_patches(host: FacadeHost, shape: Any, patch: Any, expected: Any) -> None:
    dit = importlib.import_module("comfy.ldm.common_dit")
    assert tuple(dit.pad_to_patch_size(torch.rand(shape), patch).shape[2:]) == expected


# ---------------------------------------------------------------- latents and conditions


@pytest.mark.parametrize(
    ("name", "scale", "shift", "channels"),
    [("SD15", 0.18215, 0.0, 4), ("SDXL", 0.13025, 0.0, 4), ("SD3", 1.5305, 0.0609, 16), ("Flux", 0.3611, 0.1159, 16)],
)
def test_scales_of_latents(host: FacadeHost, name: str, scale: float, shift: float, channels: int) -> None:
    known = getattr(importlib.import_module("comfy.latent_formats"), name)()
    assert known.process_in(torch.ones(1)).item() == pytest.approx((1 - shift) * scale)
    assert known.process_out(known.process_in(torch.full((1,), 0.3))).item() == pytest.approx(0.3)
    assert known.latent_channels == channels


@pytest.mark.parametrize(
    ("kind", "one", "other", "together"),
    [
        ("CONDRegular", (1, 2), (1, 2), True),
        ("CONDRegular", (1, 2), (1, 3), False),
        ("CONDNoiseShape", (1, 1, 2, 2), (1, 1, 2, 2), True),
        ("CONDCrossAttn", (1, 77, 4), (1, 154, 4), True),
        ("CONDCrossAttn", (1, 77, 4), (1, 78, 4), False),
        ("CONDCrossAttn", (1, 77, 4), (2, 77, 4), False),
        ("CONDCrossAttn", (1, 77, 4), (1, 77, 5), False),
    ],
)
def test_conditions_that_may_share_a_batch(host: FacadeHost, kind: str, one: Any, other: Any, together: bool) -> None:
    cond = getattr(importlib.import_module("comfy.conds"), kind)
    first, second = cond(torch.ones(one)), cond(torch.ones(other))
    assert first.can_concat(second) is together
    assert first.size() == list(one)
    assert first.process_cond(3).cond.shape[0] == 3
    if together:
        assert first.concat([second]).shape[0] == one[0] + other[0]


def test_conditions_that_are_no_tensors(host: FacadeHost) -> None:
    conds = importlib.import_module("comfy.conds")
    constant = conds.CONDConstant("a")
    assert constant.process_cond(5).cond == constant.concat([constant]) == "a"
    assert (constant.size(), constant.can_concat(conds.CONDConstant("b"))) == ([1], False)
    several = conds.CONDList([torch.ones(1, 2), torch.ones(1, 3)])
    assert [part.shape[0] for part in several.process_cond(4).cond] == [4, 4]
    assert several.size() == [5]
    assert not several.can_concat(conds.CONDList([torch.ones(1, 2)]))


# ---------------------------------------------------------------- samplers' pieces


@pytest.mark.parametrize(("eta", "up"), [(0.0, 0.0), (1.0, math.sqrt(1 * (4 - 1) / 4)), (0.5, math.sqrt(3) / 4)])
def test_ancestral_steps(host: FacadeHost, eta: float, up: float) -> None:
    pieces = importlib.import_module("comfy.k_diffusion.sampling")
    down, noise = pieces.get_ancestral_step(2.0, 1.0, eta)
    assert noise == pytest.approx(up)
    assert down**2 + noise**2 == pytest.approx(1.0)


def test_pieces_of_samplers(host: FacadeHost) -> None:
    pieces = importlib.import_module("comfy.k_diffusion.sampling")
    x = torch.full((2, 1, 1, 1), 5.0)
    assert pieces.to_d(x, torch.tensor([2.0, 4.0]), torch.ones_like(x)).flatten().tolist() == [2.0, 1.0]
    assert pieces.append_dims(torch.ones(2), 4).shape == (2, 1, 1, 1)
    assert pieces.append_zero(torch.ones(2)).tolist() == [1, 1, 0]
    first, second = (pieces.default_noise_sampler(x, seed=3) for _ in range(2))
    assert torch.equal(first(1, 2), second(1, 2))
    brown = pieces.BrownianTreeNoiseSampler(x, 0.1, 10.0, seed=4, cpu=True)
    again = pieces.BrownianTreeNoiseSampler(x, 0.1, 10.0, seed=4, cpu=True)
    assert torch.equal(brown(5.0, 2.0), again(5.0, 2.0))
    unseeded = pieces.BrownianTreeNoiseSampler(x, 0.1, 10.0, transform=lambda level: level.log())
    assert unseeded(5.0, 2.0).shape == x.shape
    with pytest.raises(AttributeError, match="sample_none"):
        _ = pieces.sample_none


@pytest.mark.parametrize("name", ["get_sigmas_karras", "get_sigmas_exponential"])
def test_curves_of_levels(host: FacadeHost, name: str) -> None:
    levels = getattr(importlib.import_module("comfy.k_diffusion.sampling"), name)(4, 0.1, 10.0)
    assert [levels[0].item(), levels[3].item(), levels[4].item()] == pytest.approx([10.0, 0.1, 0.0])


# ---------------------------------------------------------------- previews


def test_previews_by_a_linear_map(host: FacadeHost) -> None:
    preview = importlib.import_module("latent_preview")
    latent = torch.zeros(1, 2, 2, 3)
    latent[0, 0] = 1.0
    known = SimpleNamespace(latent_rgb_factors=[[1.0, 0.0, -1.0], [0, 0, 0]], latent_rgb_factors_bias=[0, 0, 0])
    maker = preview.get_previewer("cpu", known)
    kind, picture, longest = maker.decode_latent_to_preview_image("JPEG", latent)
    assert (kind, picture.size, longest) == ("JPEG", (3, 2), 512)
    assert picture.getpixel((0, 0)) == (255, 128, 0)
    assert preview.get_previewer("cpu", SimpleNamespace()) is None
    own = preview.get_previewer("cpu", SimpleNamespace(preview=lambda x0: torch.ones(2, 2, 3)))
    assert own.decode_latent_to_preview(latent).getpixel((1, 1)) == (255, 255, 255)

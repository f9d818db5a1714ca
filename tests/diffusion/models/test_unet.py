"""The U-Net's own promises; its numbers are held to another implementation in tests/parity."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from app.diffusion.models.unet import PIXELS_WORTH_LANES, UNet, UNetConfig, position_waves, timestep_embedding

SMALL = UNetConfig(
    model_channels=32, channel_mult=(1, 2), transformer_depth=(1, 1), heads=4, context_width=16, num_res_blocks=1
)


def test_timesteps_become_cosines_then_sines() -> None:
    waves = timestep_embedding(torch.tensor([0.0, 7.0]), 8)
    assert waves[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    frequencies = [math.exp(-math.log(10_000) * i / 4) for i in range(4)]
    expected = [math.cos(7 * f) for f in frequencies] + [math.sin(7 * f) for f in frequencies]
    assert waves[1].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (5, 6), (1, 3)])
def test_any_size_comes_back(size: tuple[int, int]) -> None:
    x = torch.randn(1, 4, *size)
    assert UNet(SMALL)(x, torch.tensor([5.0]), torch.randn(1, 3, 16)).shape == x.shape


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 3)])
def test_any_size_comes_back_through_residual_resampling(size: tuple[int, int]) -> None:
    config = replace(
        SMALL, channel_mult=(1, 2, 2), transformer_depth=(0, 1, 1), pixel_attention=True, residual_resampling=True
    )
    x = torch.randn(2, 4, *size)
    assert UNet(replace(config, scale_shift=True))(x, torch.tensor([5.0, 6.0])).shape == x.shape


def test_labels_and_further_channels_count() -> None:
    network = UNet(replace(SMALL, in_channels=7, classes=10)).eval()
    x, context, t = torch.randn(1, 4, 8, 8), torch.randn(1, 3, 16), torch.tensor([5.0])
    more = torch.randn(1, 3, 8, 8)
    with torch.inference_mode():
        first = network(x, t, context, classes=torch.tensor([1]), concat=more)
        other_label = network(x, t, context, classes=torch.tensor([2]), concat=more)
        other_channels = network(x, t, context, classes=torch.tensor([1]), concat=-more)
    assert not torch.allclose(first, other_label)
    assert not torch.allclose(first, other_channels)


def test_transformers_that_only_look_at_the_context() -> None:
    """Without self-attention, a constant context makes each pixel's attention the same."""
    network = UNet(replace(SMALL, cross_only=(True, True))).eval()
    block = network.get_submodule("input_blocks.1.1.transformer_blocks.0")
    assert block.get_parameter("attn1.to_k.weight").shape == (32, 16)
    x, t = torch.randn(1, 4, 8, 8), torch.tensor([5.0])
    assert network(x, t, torch.randn(1, 3, 16)).shape == x.shape


def test_half_a_middle_and_none() -> None:
    x, context, t = torch.randn(1, 4, 8, 8), torch.randn(1, 3, 16), torch.tensor([5.0])
    for middle, blocks in ((-2, None), (-1, 1), (0, 2), (1, 3)):
        network = UNet(replace(SMALL, transformer_depth_middle=middle))
        assert (len(network.middle_block) if hasattr(network, "middle_block") else None) == blocks
        assert network(x, t, context).shape == x.shape


def test_the_order_of_context_tokens_is_free() -> None:
    network = UNet(SMALL).eval()
    x, context = torch.randn(1, 4, 8, 8), torch.randn(1, 6, 16)
    with torch.inference_mode():
        here, there = (network(x, torch.tensor([5.0]), c) for c in (context, context.flip(1)))
    torch.testing.assert_close(here, there, atol=1e-5, rtol=1e-4)


def test_each_skip_connection_matters() -> None:
    network = UNet(SMALL).eval()
    x, context, t = torch.randn(1, 4, 8, 8), torch.randn(1, 3, 16), torch.tensor([5.0])
    with torch.inference_mode():
        whole = network(x, t, context)
        cut = UNet(SMALL).eval()
        cut.load_state_dict(network.state_dict())
        weight = cut.get_parameter(f"output_blocks.{len(cut.output_blocks) - 1}.0.in_layers.2.weight")
        weight.data[:, SMALL.model_channels * 1 :] = 0  # the channels of the first skip
        assert not torch.allclose(whole, cut(x, t, context), atol=1e-4)


def test_place_waves_do_not_depend_on_the_size() -> None:
    like = torch.zeros(1)
    small, large = position_waves(4, 4, 3, like), position_waves(8, 8, 3, like)
    assert small.shape == (1, 12, 4, 4)
    middle = large.unflatten(2, (4, 2)).unflatten(4, (4, 2)).mean((3, 5))
    torch.testing.assert_close(middle[:, :2], small[:, :2], atol=0.03, rtol=0)


def test_place_information_breaks_the_symmetry() -> None:
    network = UNet(replace(SMALL, position_waves=2)).eval()
    x = torch.zeros(1, 4, 8, 8)
    with torch.inference_mode():
        out = network(x, torch.tensor([5.0]), torch.zeros(1, 1, 16))
    assert (out[..., 3, 3] - out[..., 4, 4]).abs().max() > 1e-4


@pytest.fixture
def two_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


LARGE = 46  # enough pixels for two halves side by side


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("side", [8, LARGE])
@pytest.mark.parametrize("cross_only", [(), (True, False)])
@pytest.mark.parametrize("depths", [(1, 1), (0, 1)])
def test_what_two_prompts_share_is_computed_once_and_changes_nothing(
    depths: tuple[int, int], cross_only: tuple[bool, ...], side: int
) -> None:
    assert (side * side >= PIXELS_WORTH_LANES) is (side == LARGE)
    config = UNetConfig(
        model_channels=32,
        channel_mult=(1, 2),
        transformer_depth=depths,
        heads=2,
        context_width=8,
        cross_only=cross_only,
    )
    torch.manual_seed(0)
    network = UNet(config).eval()
    x, t = torch.randn(1, 4, side, side).expand(4, -1, -1, -1), torch.tensor([7.0] * 4)
    context = torch.randn(4, 3, 8)
    with torch.no_grad():
        together = network(x, t, context)
        alone = torch.cat([network(x[:1], t[:1], context[row : row + 1]) for row in range(4)])
    assert torch.allclose(together, alone, atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("side", [8, LARGE])
def test_latents_or_times_that_differ_are_not_taken_for_shared(side: int) -> None:
    config = UNetConfig(model_channels=32, channel_mult=(1, 2), transformer_depth=(1, 1), heads=2, context_width=8)
    torch.manual_seed(0)
    network = UNet(config).eval()
    x, t, context = torch.randn(2, 4, side, side), torch.tensor([7.0, 900.0]), torch.randn(1, 3, 8).expand(2, -1, -1)
    for latent, times in ((x, t[:1].expand(2)), (x[:1].expand(2, -1, -1, -1), t)):
        with torch.no_grad():
            together = network(latent, times, context)
            alone = torch.cat([network(latent[i : i + 1], times[i : i + 1], context[:1]) for i in range(2)])
        assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.usefixtures("two_cores")
def test_labels_need_no_context_for_halves_side_by_side() -> None:
    config = UNetConfig(
        model_channels=32, channel_mult=(1, 2), transformer_depth=(0, 0), transformer_depth_middle=-1, classes=5
    )
    torch.manual_seed(0)
    network = UNet(config).eval()
    x, t, classes = torch.randn(2, 4, LARGE, LARGE), torch.tensor([7.0, 7.0]), torch.tensor([1, 4])
    with torch.inference_mode():
        together = network(x, t, classes=classes)
        alone = torch.cat([network(x[i : i + 1], t[:1], classes=classes[i : i + 1]) for i in range(2)])
    assert torch.allclose(together, alone, atol=1e-5)

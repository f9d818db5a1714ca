from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.diffusion.models.mmdit import SD3_MEDIUM, SD35_LARGE, SD35_MEDIUM, MMDiT, MMDiTConfig, mmdit_config
from app.errors import InvalidRequest

MANIFEST = Path(__file__).parents[2] / "data" / "manifests" / "mmdit_sd3_medium.json"
SMALL = MMDiTConfig(2, 128, 4, 24, 20, 12)


def network(config: MMDiTConfig = SMALL) -> MMDiT:
    torch.manual_seed(5)
    net = MMDiT(config).eval()
    torch.nn.init.normal_(net.pos_embed)
    return net


def shapes_of(config: MMDiTConfig) -> dict[str, list[int]]:
    with torch.device("meta"):
        return {name: list(value.shape) for name, value in MMDiT(config).state_dict().items()}


def test_a_meta_build_has_the_published_keys() -> None:
    assert shapes_of(SD3_MEDIUM) == json.loads(MANIFEST.read_text())


@pytest.mark.parametrize("config", [SMALL, SD3_MEDIUM, SD35_MEDIUM, SD35_LARGE])
def test_shapes_tell_the_configuration(config: MMDiTConfig) -> None:
    assert mmdit_config(shapes_of(config)) == config


def test_medium_3_5_has_a_second_attention_in_its_first_blocks() -> None:
    shapes = shapes_of(SD35_MEDIUM)
    assert shapes["joint_blocks.12.x_block.attn2.ln_q.weight"] == [64]
    assert shapes["joint_blocks.12.x_block.adaLN_modulation.1.weight"] == [9 * 1536, 1536]
    assert "joint_blocks.13.x_block.attn2.qkv.weight" not in shapes
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == pytest.approx(2.47e9, rel=0.02)


def test_large_3_5_has_eight_billion_weights() -> None:
    assert sum(torch.Size(shape).numel() for shape in shapes_of(SD35_LARGE).values()) == pytest.approx(8.06e9, rel=0.02)


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, normalised=True, dual=1)])
@pytest.mark.parametrize("size", [(8, 8), (7, 12)])
def test_the_flow_has_the_latents_shape(config: MMDiTConfig, size: tuple[int, int]) -> None:
    x = torch.randn(2, 4, *size)
    with torch.no_grad():
        flow = network(config)(x, torch.tensor([10.0, 900.0]), torch.randn(2, 5, 24), torch.randn(2, 20))
    assert flow.shape == x.shape
    assert bool(flow.isfinite().all())


def test_what_is_not_said_is_zero() -> None:
    net, x, t = network(), torch.randn(1, 4, 4, 4), torch.tensor([500.0])
    with torch.no_grad():
        silent = net(x, t, torch.zeros(1, 1, 24), torch.zeros(1, 20))
        torch.testing.assert_close(net(x, t), silent)


def test_positions_come_from_the_middle_of_the_table() -> None:
    net = network()
    table = net.pos_embed.unflatten(1, (12, 12))
    assert torch.equal(net.places(2, 4)[0, 0], table[0, 5, 4])
    assert net.places(12, 12).shape == (1, 144, 128)


def test_a_picture_beyond_the_table_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="26 × 8 is larger") as told:
        network()(torch.zeros(1, 4, 8, 26), torch.zeros(1))
    assert "192 pixels" in told.value.remedy


def test_half_precision_says_nearly_the_same() -> None:
    net = network()
    x, context, vector = torch.randn(1, 4, 8, 8), torch.randn(1, 5, 24), torch.randn(1, 20)
    with torch.no_grad():
        exact = net(x, torch.tensor([500.0]), context, vector)
        net, x, context, vector = net.bfloat16(), x.bfloat16(), context.bfloat16(), vector.bfloat16()
        rough = net(x, torch.tensor([500.0]), context, vector)
    assert rough.dtype == torch.bfloat16
    assert float((rough - exact).norm() / exact.norm()) < 0.03

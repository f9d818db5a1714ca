from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from app.diffusion.models.flux import (
    FLUX_DEV,
    FLUX_FILL,
    FLUX_SCHNELL,
    Flux,
    FluxConfig,
    flux_config,
    rotary_angles,
    rotated,
)

MANIFESTS = Path(__file__).parents[2] / "data" / "manifests"
SMALL = FluxConfig(4, 4, 64, 2, 2, 2, 24, 20, axes=(8, 12, 12))


def network(config: FluxConfig = SMALL) -> Flux:
    torch.manual_seed(6)
    return Flux(config).eval()


def shapes_of(config: FluxConfig) -> dict[str, list[int]]:
    with torch.device("meta"):
        return {name: list(value.shape) for name, value in Flux(config).state_dict().items()}


@pytest.mark.parametrize(("name", "config"), [("dit_flux1_dev", FLUX_DEV), ("dit_flux1_schnell", FLUX_SCHNELL)])
def test_a_meta_build_has_the_published_keys(name: str, config: FluxConfig) -> None:
    assert shapes_of(config) == json.loads((MANIFESTS / f"{name}.json").read_text())


@pytest.mark.parametrize("config", [FLUX_DEV, FLUX_SCHNELL, FLUX_FILL])
def test_shapes_tell_the_configuration(config: FluxConfig) -> None:
    assert flux_config(shapes_of(config)) == config


def test_fill_reads_384_numbers_a_patch_and_writes_64() -> None:
    shapes = shapes_of(FLUX_FILL)
    assert shapes["img_in.weight"] == [3072, 384]
    assert shapes["final_layer.linear.weight"] == [64, 3072]


@pytest.mark.parametrize("size", [(8, 8), (7, 10)])
def test_the_flow_has_the_latents_shape(size: tuple[int, int]) -> None:
    x = torch.randn(2, 4, *size)
    with torch.no_grad():
        flow = network()(x, torch.tensor([0.1, 0.9]), torch.randn(2, 5, 24), torch.randn(2, 20))
    assert flow.shape == x.shape


def test_further_channels_are_read_beside_the_latent() -> None:
    net = network(FluxConfig(10, 4, 64, 2, 1, 1, 24, 20, axes=(8, 12, 12)))
    x, t = torch.randn(1, 4, 4, 4), torch.tensor([0.5])
    with torch.no_grad():
        first, second = (net(x, t, concat=torch.full((1, 6, 4, 4), value)) for value in (0.0, 1.0))
    assert first.shape == x.shape
    assert not torch.allclose(first, second)


def test_guidance_counts_only_where_it_is_learnt_and_told() -> None:
    x, t = torch.randn(1, 4, 4, 4), torch.tensor([0.5])
    dev, schnell = network(), network(FluxConfig(4, 4, 64, 2, 2, 2, 24, 20, False, (8, 12, 12)))
    with torch.no_grad():
        assert not torch.allclose(dev(x, t), dev(x, t, guidance=torch.tensor([3.5])))
        torch.testing.assert_close(schnell(x, t), schnell(x, t, guidance=torch.tensor([3.5])))


def test_rotations_keep_lengths_and_tell_distances_only() -> None:
    positions = torch.tensor([[0.0, 0, 0], [0, 1, 2], [0, 5, 1], [0, 6, 3]])
    angles = rotary_angles(positions, (8, 12, 12), 10_000.0)
    q, k = torch.randn(2, 1, 1, 1, 32).expand(2, 1, 1, 4, 32)
    turned_q, turned_k = rotated(q, angles), rotated(k, angles)
    torch.testing.assert_close(turned_q.norm(dim=-1), q.norm(dim=-1))
    scores = (turned_q @ turned_k.mT)[0, 0]
    # From (0, 0) to (1, 2) is as far as from (5, 1) to (6, 3).
    torch.testing.assert_close(scores[0, 1], scores[2, 3])


def test_the_first_channels_turn_by_the_whole_position() -> None:
    cosine, sine = rotary_angles(torch.tensor([[2.0, 3.0, 0.0]]), (4, 2, 2), 100.0)
    expected = [2.0, 0.2, 3.0, 0.0]
    torch.testing.assert_close(torch.atan2(sine, cosine)[0].tolist(), expected, atol=1e-6, rtol=0)
    assert math.isclose(float(cosine[0, 0]), math.cos(2.0), rel_tol=1e-6)


def test_half_precision_says_nearly_the_same() -> None:
    net = network()
    x, context, vector = torch.randn(1, 4, 8, 8), torch.randn(1, 5, 24), torch.randn(1, 20)
    with torch.no_grad():
        exact = net(x, torch.tensor([0.5]), context, vector, guidance=torch.tensor([3.5]))
        net, x, context, vector = net.bfloat16(), x.bfloat16(), context.bfloat16(), vector.bfloat16()
        rough = net(x, torch.tensor([0.5]), context, vector, guidance=torch.tensor([3.5]))
    assert rough.dtype == torch.bfloat16
    assert float((rough - exact).norm() / exact.norm()) < 0.03

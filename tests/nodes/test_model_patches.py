from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from app.errors import InvalidRequest


@pytest.fixture
def model(bench: Any) -> Any:
    return bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[0]


def answered(model: Any, sigma: float = 0.9) -> torch.Tensor:
    """What the network says of fixed noise, with the model's hooks in it."""
    x = torch.randn(1, model.latent.channels, 16, 16, generator=torch.Generator().manual_seed(0))
    width = model.network.config.context_width
    context = torch.randn(1, 3, width, generator=torch.Generator().manual_seed(1))
    hooks = model.guidance.network_at(sigma)
    with torch.no_grad():
        return model.denoiser()(x, torch.tensor(sigma), context=context, **({"hooks": hooks} if hooks else {}))


@pytest.mark.parametrize(
    ("node_id", "neutral", "changed"),
    [
        ("FreeU", {"b1": 1.0, "b2": 1.0, "s1": 1.0, "s2": 1.0}, {}),
        ("FreeU_V2", {"b1": 1.0, "b2": 1.0, "s1": 1.0, "s2": 1.0}, {}),
        ("PatchModelAddDownscale", {"block_number": 30}, {"block_number": 1}),
        ("UNetSelfAttentionMultiply", {}, {"q": 2.0}),
        ("UNetCrossAttentionMultiply", {}, {"out": 0.5}),
    ],
)
def test_patches_change_what_the_network_says(
    bench: Any, model: Any, node_id: str, neutral: dict[str, Any], changed: dict[str, Any]
) -> None:
    usual = answered(model)
    assert torch.allclose(answered(bench(node_id, model=model, **neutral)), usual, atol=1e-4)
    assert not torch.allclose(answered(bench(node_id, model=model, **changed)), usual, atol=1e-4)
    assert torch.equal(answered(model), usual)


def test_the_deep_blocks_see_a_small_picture_for_a_part_of_the_way(bench: Any, model: Any) -> None:
    patched = bench("PatchModelAddDownscale", model=model, block_number=1, end_percent=0.5)
    assert patched.guidance.network_at(0.9)
    assert not patched.guidance.network_at(0.1)


@pytest.mark.parametrize("node_id", ["FreeU", "FreeU_V2", "PatchModelAddDownscale"])
def test_other_networks_are_refused_by_name(bench: Any, model: Any, node_id: str) -> None:
    with pytest.raises(InvalidRequest, match="no U-Net"):
        bench(node_id, model=replace(model, network=torch.nn.Linear(1, 1)))

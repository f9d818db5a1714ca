from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from app.diffusion.models.flux import FLUX_DEV, Flux
from app.diffusion.models.mmdit import MMDiT, MMDiTConfig
from app.diffusion.models.unet import UNet
from app.diffusion.published import U_NETS
from app.extend.registry import Registry
from tests.nodes.test_merging import other, states

NODES = Registry.load().nodes


def parts_of(node_id: str) -> list[str]:
    return [port.name for port in NODES[node_id].spec.inputs if port.type == "FLOAT"]


def network(family: str) -> nn.Module:
    """A published network without weights."""
    with torch.device("meta"):
        if family == "flux":
            return Flux(FLUX_DEV)
        if family.startswith("sd3"):
            return MMDiT(MMDiTConfig(depth=38 if family == "sd35" else 24))
        return UNet(U_NETS[family])


@pytest.mark.parametrize(
    ("node_id", "family"),
    [
        ("ModelMergeSD1", "sd1"),
        ("ModelMergeSD2", "sd2"),
        ("ModelMergeSDXL", "sdxl"),
        ("ModelMergeSD3_2B", "sd3"),
        ("ModelMergeSD35_Large", "sd35"),
        ("ModelMergeFlux1", "flux"),
    ],
)
def test_every_weight_of_the_published_network_belongs_to_a_part(node_id: str, family: str) -> None:
    names = [name for name, _ in network(family).named_parameters()]
    parts = parts_of(node_id)
    assert {name for name in names if not any(name.startswith(part) for part in parts)} <= {"pos_embed"}
    unused = {part for part in parts if not any(name.startswith(part) for name in names)}
    assert unused <= {"label_emb.", "pos_embed."}


def test_each_part_is_mixed_by_its_ratio(bench: Any) -> None:
    (model, _, _), model2, _ = other(bench)
    ratios = {part: (index + 1) / 100 for index, part in enumerate(parts_of("ModelMergeSD1"))}
    made = bench("ModelMergeSD1", model1=model, model2=model2, **ratios)
    ours, one, two = states(made, model, model2)
    for name, value in ours.items():
        part = next((part for part in ratios if name.startswith(part)), "time_embed.")
        torch.testing.assert_close(value, ratios[part] * one[name] + (1 - ratios[part]) * two[name])
    assert bench("ModelMergeSD1", model1=model, model2=model2).network is model.network


def test_all_blocks_at_one_ratio_are_the_simple_mixture(bench: Any) -> None:
    (model, _, _), model2, _ = other(bench)
    ratios = dict.fromkeys(parts_of("ModelMergeSDXL"), 0.3)
    made, simple = (
        bench("ModelMergeSDXL", model1=model, model2=model2, **ratios),
        bench("ModelMergeSimple", model1=model, model2=model2, ratio=0.3),
    )
    for ours, theirs in zip(*(state.values() for state in states(made, simple)), strict=True):
        assert torch.equal(ours, theirs)

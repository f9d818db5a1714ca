from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.diffusion.control import with_controls
from app.diffusion.latent_format import LatentFormat
from app.diffusion.model import DiffusionModel
from app.diffusion.parameterization.model_sampling import flow
from app.errors import InvalidRequest

LIKE = torch.zeros(1, 4, 4, 4)


class Steering:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Mapping[str, Tensor]] = []

    def adjusting(self, model: DiffusionModel, like: Tensor, *, negative: bool = False) -> Any:
        def adjust(x: Tensor, sigma: Tensor, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
            self.told.append(arguments)
            return {"seen": negative}

        return adjust

    def networks(self, model: DiffusionModel) -> list[nn.Module]:
        return []

    def finished(self) -> None:
        pass


def inputs(features: Tensor, said: Mapping[str, Any], like: Tensor, *, negative: bool = False) -> Mapping[str, Any]:
    return {"context": features, "vector": said["pooled_output"] * 2}


MODEL = DiffusionModel(nn.Linear(1, 1), flow(), LatentFormat(), lambda latent: latent, "test", inputs)


def told(**said: Any) -> Mapping[str, Tensor]:
    control = Steering()
    features, pooled = torch.ones(1, 3, 2), torch.ones(1, 2)
    ((_, options),) = with_controls(MODEL, [[features, {"control": control, "pooled_output": pooled, **said}]], LIKE)
    arguments = {"context": features.expand(2, -1, -1), "vector": pooled.expand(2, -1), "concat": LIKE}
    assert options["adjust"](torch.zeros(2, 4, 4, 4), torch.tensor(1.0), arguments) == {"seen": False}
    return control.told[0]


def test_a_control_is_told_what_the_network_is_told() -> None:
    assert torch.equal(told()["context"], torch.ones(2, 3, 2))


def test_a_control_may_be_told_a_text_of_its_own() -> None:
    found = told(cross_attn_controlnet=torch.full((1, 5, 2), 7.0), pooled_output_controlnet=torch.full((1, 2), 3.0))
    assert torch.equal(found["context"], torch.full((2, 5, 2), 7.0))
    assert torch.equal(found["vector"], torch.full((2, 2), 6.0))
    assert found["concat"] is LIKE
    alone = told(cross_attn_controlnet=torch.full((1, 5, 2), 7.0))
    assert torch.equal(alone["vector"], torch.full((2, 2), 2.0))


def test_what_steers_in_no_known_way_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="unknown kind"):
        with_controls(MODEL, [[torch.ones(1, 3, 2), {"control": object()}]], LIKE)

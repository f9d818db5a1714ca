"""LoRAs that give Flux further input channels, as Canny and Depth do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.diffusion.inputs import FluxInputs
from app.diffusion.model import DiffusionModel
from app.diffusion.models.flux import Flux
from app.diffusion.published import FLUX
from app.errors import InvalidRequest
from tests.weights.adapters.models import lora, saved
from tests.weights.adapters.test_transformer_names import FLUX_CONFIG, model

NORM = "double_blocks.0.img_attn.norm.key_norm"


def flux() -> DiffusionModel:
    return replace(model("flux"), inputs=FluxInputs(FLUX_CONFIG, FLUX.latent))


def control(start: str = "", name: str = "img_in") -> dict[str, Tensor]:
    """As black-forest-labs publishes them: names without prefix, a bias, and a normalisation as it is to be."""
    torch.manual_seed(1)
    tensors = lora(f"{start}{name}", (32, 128), ends=("lora_B", "lora_A"))
    if not start:
        tensors |= {f"{name}.lora_B.bias": torch.randn(32), f"{NORM}.scale": torch.rand(16)}
    return tensors


def asked(made: DiffusionModel, network: Flux | None = None) -> Tensor:
    """The flow of fixed noise, with an image beside it where the model takes one."""
    torch.manual_seed(2)
    x, picture, context = torch.randn(1, 16, 4, 6), torch.randn(1, 16, 4, 6), torch.randn(1, 5, 12)
    said = made.inputs(context, {"concat_latent_image": picture, "guidance": 3.0}, x)
    with torch.no_grad():
        return (network or made.network)(x, torch.tensor([0.5]), **said)


@pytest.mark.parametrize(
    ("start", "name"), [("", "img_in"), ("transformer.", "x_embedder"), ("diffusion_model.", "img_in")]
)
def test_the_image_is_taken_in_beside_the_latent(tmp_path: Path, start: str, name: str) -> None:
    plain, tensors = flux(), control(start, name)
    made = saved(tmp_path, tensors).applied(plain, None, 0.75)[0]
    by_hand = Flux(replace(FLUX_CONFIG, in_channels=32))
    state = plain.network.state_dict()
    factors = tensors[f"{start}{name}.lora_B.weight"] @ tensors[f"{start}{name}.lora_A.weight"]
    state["img_in.weight"] = torch.cat([state["img_in.weight"], torch.zeros(32, 64)], dim=1) + 0.75 * factors
    if not start:
        state["img_in.bias"] = state["img_in.bias"] + 0.75 * tensors["img_in.lora_B.bias"]
        state[f"{NORM}.scale"] = tensors[f"{NORM}.scale"]
    by_hand.load_state_dict(state)
    torch.testing.assert_close(asked(made), asked(made, by_hand))
    assert made.network.config.in_channels == 32  # pyright: ignore[reportAttributeAccessIssue]
    assert plain.network.config.in_channels == 16  # pyright: ignore[reportAttributeAccessIssue]
    assert plain.network.get_parameter("img_in.weight").shape == (32, 64)


def test_other_loras_come_before_or_after(tmp_path: Path) -> None:
    style = saved(tmp_path, lora("diffusion_model.img_in", (32, 64)))
    wider = saved(tmp_path, control())
    one = wider.applied(style.applied(flux(), None)[0], None)[0]
    two = style.applied(wider.applied(flux(), None)[0], None)[0]
    torch.testing.assert_close(asked(one), asked(two))
    assert two.network.config.in_channels == 32  # pyright: ignore[reportAttributeAccessIssue]


def test_a_shape_that_the_file_tells(tmp_path: Path) -> None:
    tensors = control("diffusion_model.")
    told = saved(tmp_path, {**tensors, "diffusion_model.img_in.reshape_weight": torch.tensor([32, 128])})
    torch.testing.assert_close(
        asked(told.applied(flux(), None)[0]), asked(saved(tmp_path, tensors).applied(flux(), None)[0])
    )
    # Elsewhere a weight keeps its shape.
    layer = "diffusion_model.txt_in"
    other = {**lora(layer, (32, 20)), f"{layer}.reshape_weight": torch.tensor([32, 20])}
    with pytest.raises(InvalidRequest, match="txt_in"):
        saved(tmp_path, other).applied(flux(), None)

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from app.diffusion.models.controlnet_flux import FluxControl, FluxControlConfig
from app.diffusion.models.controlnet_flux_misto import MistoControl
from tests.nodes.control_files import FLUX, SHORT_FLUX, SORTS, random

TIMES = torch.tensor([0.2, 0.9])


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def answer(network: FluxControl, x: Tensor, seen: Tensor, **more: Any) -> tuple[list[Tensor], list[Tensor]]:
    return network(x, TIMES, seen, normal(2, 5, 16, seed=3), normal(2, 8, seed=4), **more)


@pytest.mark.parametrize("name", ["XLabs, Flux", "MistoLine, Flux"])
@torch.inference_mode()
def test_pictures_are_brought_to_the_size_of_the_latent(name: str) -> None:
    network: FluxControl = SORTS[name].network
    hint = torch.rand(2, 3, 40, 56, generator=torch.Generator().manual_seed(5))
    seen = network.seen(hint)
    assert seen.shape == (2, 16, 5, 7)
    # What is seen of the corner does not reach the opposite one.
    hint[:, :, :4, :4] = 0
    away = (network.seen(hint) - seen).abs().amax(dim=(0, 1))
    assert away[0, 0] > 0 and away[-1, -1] == 0
    grey = network.seen(torch.full((1, 3, 40, 56), 0.5))
    assert torch.allclose(grey, network.input_hint_block(torch.zeros(1, 3, 40, 56)), atol=1e-6)


@torch.inference_mode()
def test_residuals_are_for_the_picture_and_mistoline_s_for_the_text_as_well() -> None:
    x, seen = normal(2, 16, 5, 7), normal(2, 16, 5, 7, seed=2)
    for name, double, single, tokens in (
        ("InstantX, Flux", 2, 1, 12),
        ("XLabs, Flux", 2, 0, 12),
        ("MistoLine, Flux", 3, 2, 5 + 12),
    ):
        network = SORTS[name].network
        found = answer(network, x, seen)
        assert [tuple(each.shape) for each in found[0]] == [(2, 12, FLUX.width)] * double
        assert [tuple(each.shape) for each in found[1]] == [(2, tokens, FLUX.width)] * single
        assert isinstance(network, MistoControl) == (name == "MistoLine, Flux")


@torch.inference_mode()
def test_the_token_of_a_task_is_no_part_of_the_picture() -> None:
    network = random(FluxControl(FluxControlConfig(SHORT_FLUX, tasks=3)), 3)
    x, seen = normal(2, 16, 4, 6), normal(2, 16, 4, 6, seed=2)
    plain, told, other = (answer(network, x, seen, task=task) for task in (None, 1, 2))
    assert told[1][0].shape == plain[1][0].shape == (2, 6, FLUX.width)
    assert not torch.allclose(told[1][0], plain[1][0], atol=1e-4)
    assert not torch.allclose(told[1][0], other[1][0], atol=1e-4)


@torch.inference_mode()
def test_mistoline_s_single_blocks_know_the_picture_by_the_text_alone() -> None:
    """What double blocks have made of the picture ends there."""
    network = SORTS["MistoLine, Flux"].network
    x, seen = normal(2, 16, 4, 6), normal(2, 16, 4, 6, seed=2)
    before = answer(network, x, seen)
    network.get_parameter("flux.double_blocks.2.img_mlp.2.bias").add_(
        1
    )  # of the picture's stream, after its last look at the text
    after = answer(network, x, seen)
    assert not torch.allclose(before[0][-1], after[0][-1], atol=1e-3)
    assert all(torch.equal(one, other) for one, other in zip(before[1], after[1], strict=True))

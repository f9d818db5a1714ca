from __future__ import annotations

from typing import Any

import torch

from app.diffusion.adapters.change import Edit, Place
from app.diffusion.adapters.full import Difference
from app.diffusion.adapters.twin import with_edits
from app.diffusion.control_networks import answered
from app.diffusion.latent_format import LatentFormat
from app.diffusion.model import DiffusionModel
from app.diffusion.models.controlnet_sd3 import SD3ImageControl
from app.diffusion.parameterization.model_sampling import flow
from tests.nodes.control_files import SORTS, transformer


@torch.inference_mode()
def test_patches_are_those_of_the_network_that_is_steered() -> None:
    """Of the twin under a LoRA that one prompt has, rather than of the model."""
    steers = SORTS["Stability, blur"].network
    assert isinstance(steers, SD3ImageControl)
    base = transformer("sd3")
    bias = base.get_parameter("x_embedder.proj.bias")
    twin = with_edits(base, [Edit(Place("x_embedder.proj.bias"), Difference(torch.ones_like(bias)))])
    x, seen = (torch.randn(1, 16, 4, 6, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))

    def residuals(own: Any, **arguments: Any) -> torch.Tensor:
        model = DiffusionModel(own, flow(), LatentFormat(), lambda latent: latent, "test")
        found = answered(steers, seen, x, torch.tensor([0.5]), model, arguments)
        assert found.double[0] is not None
        return found.double[0]

    hooked, expected = residuals(base, network=twin), residuals(twin)
    assert torch.equal(hooked, expected)
    assert not torch.allclose(hooked, residuals(base), atol=1e-3)

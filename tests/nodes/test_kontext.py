from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from app.diffusion.drawing import guider
from app.diffusion.inputs import FluxInputs
from app.diffusion.model import DiffusionModel
from app.diffusion.published import FLUX
from app.errors import InvalidRequest
from tests.weights.adapters.test_transformer_names import FLUX_CONFIG, model


@pytest.fixture(scope="module")
def flux() -> DiffusionModel:
    return replace(model("flux"), inputs=FluxInputs(FLUX_CONFIG, FLUX.latent))


def said() -> list[list[Any]]:
    return [[torch.randn(1, 5, 12, generator=torch.Generator().manual_seed(1)), {"pooled_output": torch.zeros(1, 8)}]]


def picture(seed: int, height: int = 4, width: int = 6) -> dict[str, torch.Tensor]:
    return {"samples": torch.randn(1, 16, height, width, generator=torch.Generator().manual_seed(seed))}


X = picture(9)["samples"]


def test_pictures_are_shown_in_their_order_and_in_the_models_scale(bench: Any, flux: DiffusionModel) -> None:
    both = bench("ReferenceLatent", conditioning=said(), latent=picture(2))
    both = bench("ReferenceLatent", conditioning=both, latent=picture(3, 2, 2))
    both = bench("FluxKontextMultiReferenceLatentMethod", conditioning=both, reference_latents_method="index")
    with torch.no_grad():
        found = guider(flux, both).denoiser(X, False)(X, torch.tensor(0.5))
        shown = {
            f"reference_{n}": FLUX.latent.to_model(picture(*at)["samples"]) for n, at in enumerate([(2,), (3, 2, 2)])
        }
        told = {"context": said()[0][0], "vector": torch.zeros(1, 8), "guidance": torch.full((1,), 3.5)}
        flow = flux.network(X, torch.tensor([0.5]), **told, **shown, method="index")
    torch.testing.assert_close(found, X - 0.5 * flow)


def test_a_prompt_without_a_picture_is_asked_apart(bench: Any, flux: DiffusionModel) -> None:
    shown = bench("ReferenceLatent", conditioning=said(), latent=picture(2))
    with torch.no_grad():
        plain, seen = (guider(flux, each).denoiser(X, False)(X, torch.tensor(0.5)) for each in (said(), shown))
        both = guider(flux, shown, said(), 3.0).denoiser(X, False)(X, torch.tensor(0.5))
    torch.testing.assert_close(both, plain + 3 * (seen - plain))
    assert not torch.allclose(plain, seen, atol=1e-4)


def test_without_a_latent_nothing_is_shown(bench: Any) -> None:
    given = said()
    assert bench("ReferenceLatent", conditioning=given) is given


def test_a_latent_of_another_model_is_refused(bench: Any, flux: DiffusionModel) -> None:
    wrong = bench("ReferenceLatent", conditioning=said(), latent={"samples": torch.zeros(1, 4, 4, 4)})
    with pytest.raises(InvalidRequest, match="4 channels; the model takes 16"):
        guider(flux, wrong).denoiser(X, False)


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(300, 300, (1024, 1024)), (1920, 1080, (1392, 752)), (1080, 1920, (752, 1392)), (10, 400, (672, 1568))],
)
def test_pictures_get_the_nearest_proportions(bench: Any, width: int, height: int, size: tuple[int, int]) -> None:
    image = torch.linspace(0, 1, width).expand(1, height, width)[..., None].expand(-1, -1, -1, 3)
    found = bench("FluxKontextImageScale", image=image)
    assert found.shape == (1, size[1], size[0], 3)
    # What is cut off is cut evenly: the middle stays in the middle.
    assert float(found[0, size[1] // 2, size[0] // 2 - 1 : size[0] // 2 + 1].mean()) == pytest.approx(0.5, abs=0.02)

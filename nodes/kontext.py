"""Nodes that show Flux.1 Kontext pictures to be changed or combined."""

from __future__ import annotations

from typing import Annotated

from app.api import Choice, Conditioning, Image, Latent, node
from app.diffusion.conditioning.entries import appended, with_options
from app.diffusion.models.references import METHODS
from app.images.resize import resize

EDITING = "advanced/conditioning/edit_models"
FLUX = "advanced/conditioning/flux"
# Widths and heights that Kontext was trained on (black-forest-labs/flux, its sampling of Kontext).
SIZES = (
    *((672, 1568), (688, 1504), (720, 1456), (752, 1392), (800, 1328), (832, 1248), (880, 1184), (944, 1104)),
    (1024, 1024),
    *((1104, 944), (1184, 880), (1248, 832), (1328, 800), (1392, 752), (1456, 720), (1504, 688), (1568, 672)),
)


@node("ReferenceLatent", category=EDITING, id="ReferenceLatent", aliases=("kontext", "edit", "image"))
def reference_latent(*, conditioning: Conditioning, latent: Latent | None = None) -> Conditioning:
    """Shows an editing model a picture beside the prompt; several pictures one after the other.

    Args:
        latent: The picture, encoded by the model's VAE.
    """
    return conditioning if latent is None else appended(conditioning, "reference_latents", latent["samples"])


@node("FluxKontextMultiReferenceLatentMethod", category=FLUX, id="FluxKontextMultiReferenceLatentMethod")
def multi_reference_method(
    *, conditioning: Conditioning, reference_latents_method: Annotated[str, Choice(*METHODS)]
) -> Conditioning:
    """Says where several pictures stand that a model looks at.

    Args:
        reference_latents_method: Side by side as one, each as one of its own, or along the diagonal as UNO has them.
    """
    return with_options(conditioning, reference_latents_method=reference_latents_method)


@node("FluxKontextImageScale", category=FLUX, id="FluxKontextImageScale", aliases=("resize",))
def kontext_image_scale(*, image: Image) -> Image:
    """Brings a picture to the size of nearest proportions that Kontext was trained on."""
    height, width = image.shape[1:3]
    size = min(SIZES, key=lambda size: abs(width / height - size[0] / size[1]))
    return resize(image.movedim(-1, 1), *size, "lanczos", crop=True).movedim(1, -1)

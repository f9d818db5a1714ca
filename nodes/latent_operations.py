"""Nodes that make operations on latents and apply them."""

from __future__ import annotations

from typing import Annotated, Any

from app.api import Latent, Model, Port, Range, node
from app.diffusion import latents
from app.diffusion.latent_operations import on_guidance, reinhard, sharpen
from nodes.guidance import hooked

CATEGORY = "latent/advanced/operations"
Operation = Annotated[Any, Port("LATENT_OPERATION")]


@node("Latent Apply Operation", category=CATEGORY, id="LatentApplyOperation")
def latent_apply_operation(*, samples: Latent, operation: Operation) -> Latent:
    """Applies an operation to a latent."""
    return latents.with_samples(samples, operation(latent=samples["samples"]))


@node("Latent Apply Operation CFG", category=CATEGORY, id="LatentApplyOperationCFG")
def latent_apply_operation_cfg(*, model: Model, operation: Operation) -> Model:
    """Applies an operation at every step, to what the positive prompt adds to the negative one."""
    return hooked(model, before=on_guidance(operation))


@node("Latent Operation Tonemap Reinhard", category=CATEGORY, id="LatentOperationTonemapReinhard")
def latent_operation_tonemap_reinhard(*, multiplier: Annotated[float, Range(0.0, 100.0, step=0.01)] = 1.0) -> Operation:
    """Tames the peaks of a latent, for high guidance.

    Args:
        multiplier: How high the peaks may be.
    """
    return reinhard(multiplier)


@node("Latent Operation Sharpen", category=CATEGORY, id="LatentOperationSharpen")
def latent_operation_sharpen(
    *,
    sharpen_radius: Annotated[int, Range(1, 31, step=1)] = 9,
    sigma: Annotated[float, Range(0.1, 10.0, step=0.1)] = 1.0,
    alpha: Annotated[float, Range(0.0, 5.0, step=0.01)] = 0.1,
) -> Operation:
    """Makes an operation that brings out the details of a latent.

    Args:
        sharpen_radius: How far a place reaches, in latent pixels.
        sigma: The width of what counts as blur.
        alpha: How much.
    """
    return sharpen(sharpen_radius, sigma, alpha)

"""Nodes between latents and images."""

from __future__ import annotations

from typing import Annotated

from app.api import Context, Image, Latent, Mask, Range, Vae, node
from app.images.inpaint import erased


@node("VAE Decode", category="latent", id="VAEDecode")
def vae_decode(*, context: Context, samples: Latent, vae: Vae) -> Image:
    """Turns latents into images.

    Args:
        samples: The latents to decode.
        vae: The VAE of the checkpoint that sampled them.
    """
    with context.models.on_device(vae.model):
        return vae.decode(samples["samples"]).cpu()


@node("VAE Encode", category="latent", id="VAEEncode")
def vae_encode(*, context: Context, pixels: Image, vae: Vae) -> Latent:
    """Turns images into latents, to start a sampler from.

    Args:
        pixels: The images to encode; sides that are no multiples of the VAE's factor are cropped evenly.
        vae: The VAE of the checkpoint that will sample them.
    """
    with context.models.on_device(vae.model):
        return {"samples": vae.encode(pixels).cpu()}


@node("VAE Encode (for Inpainting)", category="latent/inpaint", id="VAEEncodeForInpaint", aliases=("inpaint",))
def vae_encode_for_inpaint(
    *,
    context: Context,
    pixels: Image,
    vae: Vae,
    mask: Mask,
    grow_mask_by: Annotated[int, Range(0, 64, step=1)] = 6,
) -> Latent:
    """Encodes an image whose masked part is to be drawn anew: that part becomes grey first.

    Args:
        mask: 1 where the picture is to be drawn anew.
        grow_mask_by: By how many pixels the mask is enlarged, so that the border can change too.
    """
    grey, noise_mask = erased(pixels, mask, vae.factor, grow_mask_by)
    with context.models.on_device(vae.model):
        return {"samples": vae.encode(grey).cpu(), "noise_mask": noise_mask}

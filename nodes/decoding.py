"""Nodes between latents and images."""

from __future__ import annotations

from typing import Annotated

from app.api import Context, Image, Latent, Mask, Range, Vae, node
from app.diffusion.given import checked_image, checked_mask, naming
from app.diffusion.tiles import decode_within_memory
from app.images.inpaint import erased

Overlap = Annotated[int, Range(0, 4096, step=32)]
Frames = Annotated[int, Range(8, 4096, step=4)]
FrameOverlap = Annotated[int, Range(4, 4096, step=4)]


@node("VAE Decode", category="latent", id="VAEDecode")
def vae_decode(*, context: Context, samples: Latent, vae: Vae) -> Image:
    """Turns latents into images.

    Args:
        samples: The latents to decode.
        vae: The VAE of the checkpoint that sampled them.
    """
    with context.models.on_device(vae.model), naming("samples"):
        return decode_within_memory(vae, samples["samples"]).cpu()


@node("VAE Encode", category="latent", id="VAEEncode")
def vae_encode(*, context: Context, pixels: Image, vae: Vae) -> Latent:
    """Turns images into latents, to start a sampler from.

    Args:
        pixels: The images to encode; sides that are no multiples of the VAE's factor are cropped evenly.
        vae: The VAE of the checkpoint that will sample them.
    """
    with context.models.on_device(vae.model), naming("pixels"):
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
    with naming("pixels"):
        checked_image(pixels)
    with naming("mask"):
        checked_mask(mask)
    covered, noise_mask = erased(pixels, mask, vae.factor, grow_mask_by, vae.cover)
    with context.models.on_device(vae.model), naming("pixels"):
        return {"samples": vae.encode(covered).cpu(), "noise_mask": noise_mask}


@node("VAE Decode (Tiled)", category="_for_testing", id="VAEDecodeTiled", aliases=("memory",))
def vae_decode_tiled(
    *,
    context: Context,
    samples: Latent,
    vae: Vae,
    tile_size: Annotated[int, Range(64, 4096, step=32)] = 512,
    overlap: Overlap = 64,
    temporal_size: Frames = 64,
    temporal_overlap: FrameOverlap = 8,
) -> Image:
    """Turns latents into images part by part, which needs less memory and gives the same.

    Args:
        tile_size: The side of a part in pixels.
        overlap: Of older workflows; the parts join without a seam whatever it is.
        temporal_size: For videos only.
        temporal_overlap: For videos only.
    """
    with context.models.on_device(vae.model), naming("samples"):
        return vae.decode(samples["samples"], tile_size).cpu()


@node("VAE Encode (Tiled)", category="_for_testing", id="VAEEncodeTiled", aliases=("memory",))
def vae_encode_tiled(
    *,
    context: Context,
    pixels: Image,
    vae: Vae,
    tile_size: Annotated[int, Range(64, 4096, step=64)] = 512,
    overlap: Overlap = 64,
    temporal_size: Frames = 64,
    temporal_overlap: FrameOverlap = 8,
) -> Latent:
    """Turns images into latents part by part, which needs less memory and gives the same.

    Args:
        tile_size: The side of a part in pixels.
        overlap: Of older workflows; the parts join without a seam whatever it is.
        temporal_size: For videos only.
        temporal_overlap: For videos only.
    """
    with context.models.on_device(vae.model), naming("pixels"):
        return {"samples": vae.encode(pixels, tile_size).cpu()}

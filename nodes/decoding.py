"""Nodes between latents and images."""

from __future__ import annotations

from app.api import Context, Image, Latent, Vae, node


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

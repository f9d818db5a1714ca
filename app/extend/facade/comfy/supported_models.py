"""`comfy.supported_models`: the families, by which packs tell models apart.

What a class says is what tells its networks: see `BASE.matches`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.extend.facade.comfy import latent_formats
from app.extend.facade.comfy.supported_models_base import BASE


class SD15(BASE):
    """Stable Diffusion 1."""

    unet_config: Mapping[str, Any] = {"context_dim": 768, "model_channels": 320, "use_linear_in_transformer": False}
    latent_format = latent_formats.SD15


class SD20(BASE):
    """Stable Diffusion 2."""

    unet_config: Mapping[str, Any] = {
        "context_dim": 1024,
        "model_channels": 320,
        "use_linear_in_transformer": True,
        "adm_in_channels": 0,
    }
    latent_format = latent_formats.SD15


class SD21UnclipL(SD20):
    """Stable Diffusion 2.1 that is shown a picture, by CLIP L."""

    unet_config: Mapping[str, Any] = {**SD20.unet_config, "adm_in_channels": 1536}


class SD21UnclipH(SD20):
    """Stable Diffusion 2.1 that is shown a picture, by CLIP H."""

    unet_config: Mapping[str, Any] = {**SD20.unet_config, "adm_in_channels": 2048}


class SDXLRefiner(BASE):
    """The refiner of SDXL."""

    unet_config: Mapping[str, Any] = {"context_dim": 1280, "model_channels": 384, "adm_in_channels": 2560}
    latent_format = latent_formats.SDXL


class SDXL(BASE):
    """SDXL."""

    unet_config: Mapping[str, Any] = {
        "context_dim": 2048,
        "model_channels": 320,
        "adm_in_channels": 2816,
        "transformer_depth": (0, 2, 10),
    }
    latent_format = latent_formats.SDXL


class SSD1B(SDXL):
    """SSD-1B, a smaller SDXL."""

    unet_config: Mapping[str, Any] = {**SDXL.unet_config, "transformer_depth": (0, 2, 4)}


class Segmind_Vega(SDXL):
    """Segmind Vega, a smaller SDXL."""

    unet_config: Mapping[str, Any] = {**SDXL.unet_config, "transformer_depth": (0, 1, 2)}


class KOALA_700M(SDXL):
    """KOALA 700M, a smaller SDXL."""

    unet_config: Mapping[str, Any] = {**SDXL.unet_config, "transformer_depth": (0, 2, 5)}


class KOALA_1B(SDXL):
    """KOALA 1B, a smaller SDXL."""

    unet_config: Mapping[str, Any] = {**SDXL.unet_config, "transformer_depth": (0, 2, 6)}


class SD3(BASE):
    """Stable Diffusion 3 and 3.5."""

    unet_config: Mapping[str, Any] = {"image_model": "sd3"}
    latent_format = latent_formats.SD3


class Flux(BASE):
    """Flux.1 dev and its like."""

    unet_config: Mapping[str, Any] = {"image_model": "flux", "guidance_embed": True}
    latent_format = latent_formats.Flux


class FluxInpaint(Flux):
    """Flux.1 fill."""

    unet_config: Mapping[str, Any] = {**Flux.unet_config, "in_channels": 96}


class FluxSchnell(Flux):
    """Flux.1 schnell."""

    unet_config: Mapping[str, Any] = {"image_model": "flux", "guidance_embed": False}


# In this order: of classes that tell more, the first that fits.
models: list[type[BASE]] = [
    *(SD15, SD21UnclipL, SD21UnclipH, SD20, SDXLRefiner, SDXL, SSD1B, Segmind_Vega, KOALA_700M, KOALA_1B),
    *(SD3, FluxInpaint, Flux, FluxSchnell),
]


def family_of(unet_config: Mapping[str, Any]) -> BASE:
    """The family of a network with that shape; a plain one where none is known."""
    return next((kind(unet_config) for kind in models if kind.matches(unet_config)), BASE(unet_config))

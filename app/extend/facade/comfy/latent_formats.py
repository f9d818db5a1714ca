"""`comfy.latent_formats`: how latents are scaled for a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor

from app.diffusion.latent_format import LatentFormat as NativeFormat


class LatentFormat:
    """model = (latent − shift_factor) · scale_factor. `preview` turns a model's latent into a picture, if known."""

    scale_factor: Any = 1.0
    shift_factor: Any = 0.0
    latent_channels: int = 4
    latent_dimensions: int = 2
    spacial_downscale_ratio: int = 8
    latent_rgb_factors: ClassVar[Any] = None
    latent_rgb_factors_bias: ClassVar[Any] = None
    latent_rgb_factors_reshape: ClassVar[Any] = None
    taesd_decoder_name: str | None = None
    preview: Callable[[Tensor], Tensor] | None = None

    def process_in(self, latent: Tensor) -> Tensor:
        """A first stage's latent as the network knows it."""
        return (latent - self.shift_factor) * self.scale_factor

    def process_out(self, latent: Tensor) -> Tensor:
        """The network's latent as the first stage knows it."""
        return latent / self.scale_factor + self.shift_factor


class NativeLatent(LatentFormat):
    """A format of the program itself."""

    def __init__(self, native: NativeFormat, preview: Callable[[Tensor], Tensor] | None = None) -> None:
        self.native = native
        self.scale_factor = native.scale
        self.shift_factor = native.shift
        self.latent_channels = native.channels
        self.spacial_downscale_ratio = native.factor
        self.preview = preview

    def process_in(self, latent: Tensor) -> Tensor:
        """See `LatentFormat`."""
        return self.native.to_model(latent)

    def process_out(self, latent: Tensor) -> Tensor:
        """See `LatentFormat`."""
        return self.native.from_model(latent)


class SD15(LatentFormat):
    """Stable Diffusion 1 and 2."""

    scale_factor = 0.18215  # scale_factor in CompVis' v1-inference.yaml


class SDXL(LatentFormat):
    """Stable Diffusion XL."""

    scale_factor = 0.13025  # scale_factor in Stability's sd_xl_base.yaml


class SD3(LatentFormat):
    """Stable Diffusion 3."""

    scale_factor = 1.5305  # scaling_factor and shift_factor of its vae/config.json
    shift_factor = 0.0609
    latent_channels = 16


class Flux(LatentFormat):
    """Flux.1."""

    scale_factor = 0.3611  # scaling_factor and shift_factor of its vae/config.json
    shift_factor = 0.1159
    latent_channels = 16

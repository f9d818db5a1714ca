"""What a U-Net takes of a conditioning entry besides the noisy latent: text, sizes, labels, further channels.

B latents, T tokens, D context width, h × w latent pixels, H × W pixels. Options that are read, in users' spelling:
pooled_output (B, 1280); width, height, crop_w, crop_h, target_width, target_height, aesthetic_score;
concat_latent_image (B, C, h, w) as the first stage gives it; concat_mask (B, 1, H, W), 1 where to draw;
concat_image (B, E, h, w), taken as it is; noise_augmentation; class_label; reference_latents, a list of (B, C, …, …) as
the first stage gives them, and reference_latents_method. Whoever samples adds what the run itself
tells: latent_image (B, C, h, w) in the model's scale, denoise_mask (B, 1, h, w), and seed, one or one for each latent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from app.diffusion.families import Family
from app.diffusion.latent_format import LatentFormat
from app.diffusion.models.flux import FluxConfig
from app.diffusion.models.mmdit import MMDiTConfig
from app.diffusion.models.unet import UNetConfig, timestep_embedding
from app.diffusion.noise import Seeds, noise_beside
from app.diffusion.parameterization.betas import linear, signal_of
from app.errors import InvalidRequest

SIZE_WIDTH = 256  # channels of sinusoids for each number (arXiv:2307.01952, section 2.2)
POOLED_WIDTH = 1280
NUMBERS = {2816: 6, 2560: 5}  # vector widths of SDXL and its refiner, and how many numbers follow the pooled text
SCORES = {False: 6.0, True: 2.5}  # the refiner's aesthetic score of the positive and the negative side
# What the first stage makes of an all grey image, for inpainting without an image.
GREY = (0.8223, -0.6876, 0.6364, 0.1380)


class NetworkInputs(Protocol):
    """Keyword arguments of a network for one conditioning entry.

    `features` (B, T, D); `like` (B, C, h, w) has the shape of the latents to come; `negative` tells the side. Raises
    InvalidRequest for an entry that the network cannot take.
    """

    def __call__(
        self, features: Tensor, said: Mapping[str, Any], like: Tensor, *, negative: bool = False
    ) -> Mapping[str, Any]: ...


def text_alone(features: Tensor, said: Mapping[str, Any], like: Tensor, *, negative: bool = False) -> Mapping[str, Any]:
    """Nothing but the text."""
    return {"context": features}


@dataclass(frozen=True, slots=True)
class UNetInputs:
    """See `NetworkInputs`; by the channels and widths of a U-Net and the format of its latents.

    `scales_image` says whether an image to be edited is scaled as latents are (CosXL Edit), or left as the first stage
    gives it (InstructPix2Pix). `signed` is the order of latent diffusion's own inpainting: image before mask, and both
    in −1..1.
    """

    config: UNetConfig
    latent: LatentFormat
    scales_image: bool = False
    signed: bool = False

    def __call__(
        self, features: Tensor, said: Mapping[str, Any], like: Tensor, *, negative: bool = False
    ) -> Mapping[str, Any]:
        config = self.config
        inputs: dict[str, Any] = {}
        if config.context_width is not None:
            inputs["context"] = fitting(features, config.context_width)
        if config.vector_width:
            inputs["vector"] = self._vector(said, like, negative)
        if config.classes:
            level = float(said.get("noise_augmentation", 0.0))
            inputs["classes"] = torch.full((1,), noise_level(level))
        if config.in_channels > self.latent.channels:
            inputs["concat"] = self._further_channels(said, like)
        return inputs

    def _vector(self, said: Mapping[str, Any], like: Tensor, negative: bool) -> Tensor:
        width = self.config.vector_width
        if width not in NUMBERS:
            given = said.get("vector")
            return torch.zeros(1, width) if given is None else given
        pooled = _pooled(said, POOLED_WIDTH)
        numbers = self._numbers(said, like, refiner=NUMBERS[width] == 5, negative=negative)
        waves = timestep_embedding(torch.tensor(numbers), SIZE_WIDTH).flatten()[None]
        return torch.cat([pooled, waves.expand(len(pooled), -1)], dim=1)

    def _numbers(self, said: Mapping[str, Any], like: Tensor, *, refiner: bool, negative: bool) -> list[float]:
        """Sizes in pixels, height first; of a picture that says nothing, the picture's own."""
        height, width = (side * self.latent.factor for side in like.shape[-2:])
        height, width = said.get("height", height), said.get("width", width)
        first = [height, width, said.get("crop_h", 0), said.get("crop_w", 0)]
        if refiner:
            return [*map(float, first), float(said.get("aesthetic_score", SCORES[negative]))]
        return [float(n) for n in (*first, said.get("target_height", height), said.get("target_width", width))]

    def _further_channels(self, said: Mapping[str, Any], like: Tensor) -> Tensor:
        channels = self.latent.channels
        wanted = self.config.in_channels - channels
        if wanted == channels + 1:
            return self._masked(said, like)
        if "concat_latent_image" in said and wanted == channels:
            image = sized(said["concat_latent_image"], like)
            return self.latent.to_model(image) if self.scales_image else image
        image = said.get("concat_image")
        if image is None:
            return torch.zeros(1, wanted, *like.shape[-2:])
        if image.shape[1] != wanted:
            raise InvalidRequest(
                f"This conditioning brings {image.shape[1]} channels; the model takes {wanted} beside the latent.",
                remedy="Use the conditioning node that belongs to the model.",
            )
        strength = float(said.get("noise_augmentation", 0.0)) if self.config.classes else 0.0
        return noised_image(sized(image, like), strength, said.get("seed", 0))

    def _masked(self, said: Mapping[str, Any], like: Tensor) -> Tensor:
        """The mask, and the image with the part to be drawn covered.

        A model that was shown neither takes the latent itself and its mask: VAE Encode (for Inpainting) has covered it.
        """
        image, mask = said.get("concat_latent_image"), said.get("concat_mask", said.get("denoise_mask"))
        if mask is None:
            area = torch.ones(1, 1, *like.shape[-2:])
        else:
            area = sized(mask.reshape(-1, 1, *mask.shape[-2:]).float(), like).round()
        if image is not None:
            latent = self.latent.to_model(sized(image, like))
        elif mask is not None and "latent_image" in said:
            latent = sized(said["latent_image"], like)
        else:
            grey = torch.tensor(GREY[: self.latent.channels]).view(1, -1, 1, 1)
            latent = grey.expand(1, -1, *like.shape[-2:])
        count = max(len(area), len(latent))
        area, latent = repeated(area.to(latent), count), repeated(latent, count)
        return torch.cat([latent, area * 2 - 1] if self.signed else [area, latent], dim=1)


GUIDANCE = 3.5  # what Flux dev follows if nobody says otherwise


@dataclass(frozen=True, slots=True)
class MMDiTInputs:
    """See `NetworkInputs`: text and pooled text."""

    config: MMDiTConfig

    def __call__(
        self, features: Tensor, said: Mapping[str, Any], like: Tensor, *, negative: bool = False
    ) -> Mapping[str, Any]:
        context = fitting(features, self.config.context_width)
        return {"context": context, "vector": _pooled(said, self.config.vector_width)}


@dataclass(frozen=True, slots=True)
class FluxInputs:
    """See `NetworkInputs`: text, pooled text, the distilled guidance, and the further channels of its variants."""

    config: FluxConfig
    latent: LatentFormat

    def __call__(
        self, features: Tensor, said: Mapping[str, Any], like: Tensor, *, negative: bool = False
    ) -> Mapping[str, Any]:
        config = self.config
        inputs: dict[str, Any] = {
            "context": fitting(features, config.context_width),
            "vector": _pooled(said, config.vector_width),
        }
        guidance = said.get("guidance", GUIDANCE)
        if config.guidance and guidance is not None:
            inputs["guidance"] = torch.full((1,), float(guidance))
        wanted = config.in_channels - config.out_channels
        if wanted:
            inputs["concat"] = self._further_channels(said, like, wanted)
        for number, latent in enumerate(said.get("reference_latents") or ()):
            inputs[f"reference_{number:03}"] = self._reference(latent)
        if said.get("reference_latents"):
            inputs["method"] = said.get("reference_latents_method", "offset")
        return inputs

    def _reference(self, latent: Tensor) -> Tensor:
        """A picture to look at (B, C, …, …), in the model's scale; what Fill and its like show besides is empty."""
        if latent.shape[1] != self.config.out_channels:
            raise InvalidRequest(
                f"This reference latent has {latent.shape[1]} channels; the model takes {self.config.out_channels}.",
                remedy="Encode the picture with the VAE of the same model.",
            )
        scaled = self.latent.to_model(latent.float().cpu())
        return F.pad(scaled, (0, 0, 0, 0, 0, self.config.in_channels - self.config.out_channels))

    def _further_channels(self, said: Mapping[str, Any], like: Tensor, wanted: int) -> Tensor:
        """The image that is given, and for Fill the mask of its pixels."""
        image = said.get("concat_latent_image")
        empty = torch.zeros(1, self.config.out_channels, *like.shape[-2:])
        latent = empty if image is None else self.latent.to_model(sized(image, like))
        if wanted == self.config.out_channels:
            return latent
        mask = said.get("concat_mask", said.get("denoise_mask"))
        side = self.latent.factor
        whole = torch.ones(1, 1, like.shape[-2] * side, like.shape[-1] * side)
        if mask is not None:
            mask = mask.reshape(-1, 1, *mask.shape[-2:]).float().cpu()
            whole = F.interpolate(mask, size=tuple(whole.shape[-2:]), mode="bilinear")
        packed = F.pixel_unshuffle(whole, side)
        count = max(len(latent), len(packed))
        return torch.cat([repeated(latent, count), repeated(packed, count)], dim=1)


def inputs_of(family: Family) -> NetworkInputs:
    """What the family's network takes of conditioning."""
    config = family.unet
    if isinstance(config, MMDiTConfig):
        return MMDiTInputs(config)
    if isinstance(config, FluxConfig):
        return FluxInputs(config, family.latent)
    edits_scaled = family.sampling.prediction == "v-edm"
    return UNetInputs(config, family.latent, scales_image=edits_scaled, signed=family.name.startswith("ldm-"))


def _pooled(said: Mapping[str, Any], width: int) -> Tensor:
    pooled = said.get("pooled_output")
    if pooled is None:
        return torch.zeros(1, width)
    if pooled.shape[-1] != width:
        raise InvalidRequest(
            f"This prompt comes with pooled features of width {pooled.shape[-1]}; the model takes {width}.",
            remedy="Encode it with the CLIP of the same checkpoint.",
        )
    return pooled.float().cpu()


MOST_NOISE = 350  # the upscaler has seen images with noise of these levels; x4-upscaling.yaml


def noise_level(strength: float) -> int:
    """The step of the forward process that the upscaler's image is noised to; `strength` 0..1."""
    return round(strength * MOST_NOISE)


def noised_image(image: Tensor, strength: float, seed: Seeds = 0) -> Tensor:
    """An image (B, 3, h, w) in −1..1 at the level of `strength`, on the upscaler's own schedule; at 0 as it is.

    `seed` is that of the picture; the noise differs from the picture's.
    """
    if strength <= 0:
        return image
    signal = signal_of(linear(1000, 1e-4, 0.02))[noise_level(strength)]
    return signal.sqrt().float() * image + (1 - signal).sqrt().float() * noise_beside(image, seed)


def fitting(features: Tensor, width: int) -> Tensor:
    """The features (B, T, D) of a prompt, if they have the width that the network reads. Raises InvalidRequest."""
    if features.shape[-1] != width:
        raise InvalidRequest(
            f"This prompt has features of width {features.shape[-1]}; the model reads {width}.",
            remedy="Encode it with the CLIP of the same checkpoint as the model.",
        )
    return features


def sized(value: Tensor, like: Tensor) -> Tensor:
    """(B, E, …, …) in the height and width of `like`."""
    value = value.float().cpu()
    if value.shape[-2:] == like.shape[-2:]:
        return value
    return F.interpolate(value, size=tuple(like.shape[-2:]), mode="bilinear")


def repeated(value: Tensor, count: int) -> Tensor:
    """The entries again and again, until there are `count`."""
    return value.repeat(-(-count // len(value)), 1, 1, 1)[:count]

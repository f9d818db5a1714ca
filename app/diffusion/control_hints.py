"""Pictures that steer, as the networks that follow them are shown them.

B pictures, C channels, H × W pixels, h × w latent pixels
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from app.diffusion.first_stage import FirstStage
from app.diffusion.latent_format import LatentFormat
from app.diffusion.models.controlnet_flux import FluxControl
from app.diffusion.models.controlnet_sd3 import SD3Control, SD3ImageControl
from app.errors import InvalidRequest

LatentFollower = FluxControl | SD3Control | SD3ImageControl
PIXELS = 8  # of a picture along a side of a latent pixel
OF_THE_MODEL = "Link the VAE of the model that is steered."


def _edges(hint: Tensor) -> Tensor:
    # The first stage is given x · 127.5 + 0.5 here, not 2x − 1: so it was trained (vae_encode in sd3_infer.py).
    return (hint * 127.5 + 1.5) / 2.0


# What is done to pictures before the first stage, for Stability's ControlNets of 3.5. Theirs of depth has learnt that
# black is near; depth maps as everyone else makes them say it by white.
TREATMENTS: Mapping[str, Callable[[Tensor], Tensor]] = {"canny": _edges, "depth": lambda hint: 1.0 - hint}


@dataclass(frozen=True, eq=False)
class LatentHint:
    """How a picture becomes the latent that a network follows; `mask` (B, H, W) is 1 where it is to be drawn anew."""

    vae: FirstStage
    mask: Tensor | None = None

    def of(self, hint: Tensor, x: Tensor, network: LatentFollower, format: LatentFormat) -> Tensor:
        """The latent of a picture (B, 3, H, W) for latents shaped as x, in the scale that the network was trained on.

        A network that takes a mask is told what is kept as one channel more, and sees nothing of the rest. `format` is
        the model's.
        """
        masked = network.config.masked
        height, width = (length * PIXELS for length in x.shape[-2:])
        hint = sized(hint[:, :3], height, width)
        kept = torch.ones(1, 1, height, width)
        if masked and self.mask is not None:
            area = self.mask.reshape(-1, 1, *self.mask.shape[-2:]).float()
            kept = 1.0 - F.interpolate(area, size=(height, width), mode="bilinear")
            hint = hint * kept.round()
        if isinstance(network, SD3ImageControl):
            hint = TREATMENTS.get(network.config.kind, _as_it_is)(hint)
        device = next(self.vae.model.parameters()).device
        latent = self.vae.encode(hint.movedim(1, -1).to(device)).float().to(x.device)
        latent = _format_of(network, format).to_model(latent)
        if not masked:
            return latent
        small = F.interpolate(kept, size=tuple(x.shape[-2:]), mode="bilinear").to(latent)
        count = max(len(latent), len(small))
        return torch.cat([in_turn(latent, count, 1), in_turn(small, count, 1)], dim=1)


def check_vae(network: LatentFollower, vae: FirstStage, name: str) -> None:
    """Refuse a VAE whose latents have other channels, or another size, than the ControlNet of that name follows.

    Raises:
        InvalidRequest: names both numbers.
    """
    channels = network.config.hint_channels - network.config.masked
    if vae.channels != channels:
        raise InvalidRequest(
            f"The ControlNet {name!r} follows latents with {channels} channels; the linked VAE makes {vae.channels}.",
            remedy=OF_THE_MODEL,
        )
    if vae.factor != PIXELS:
        raise InvalidRequest(
            f"The ControlNet {name!r} follows latents of {PIXELS} pixels a side each; the linked VAE's are of "
            f"{vae.factor}.",
            remedy=OF_THE_MODEL,
        )


def _as_it_is(hint: Tensor) -> Tensor:
    return hint


def _format_of(network: LatentFollower, format: LatentFormat) -> LatentFormat:
    """How latents are scaled for the network: InstantX's of Stable Diffusion 3 have learnt on latents without a shift,
    unlike the inpainting one that was made of them.
    """
    plain = isinstance(network, SD3Control) and not network.config.masked
    return replace(format, shift=0.0) if plain else format


def in_turn(value: Tensor, count: int, parts: int) -> Tensor:
    """Each of the parts of a batch gets the entries in turn, and again from the first."""
    if len(value) == 1:
        return value.expand(count, *value.shape[1:])
    each = count // parts
    return value.repeat(-(-each // len(value)), 1, 1, 1)[:each].repeat(parts, 1, 1, 1)


def sized(hint: Tensor, height: int, width: int) -> Tensor:
    """The middle of a picture in another shape, scaled to the nearest pixels."""
    old_height, old_width = hint.shape[-2:]
    top = left = 0
    if old_width * height > old_height * width:
        left = round((old_width - old_height * width / height) / 2)
    else:
        top = round((old_height - old_width * height / width) / 2)
    middle = hint[..., top : old_height - top, left : old_width - left]
    return F.interpolate(middle.float(), size=(height, width), mode="nearest-exact")

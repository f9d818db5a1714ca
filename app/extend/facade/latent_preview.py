"""`latent_preview`: pictures of a latent on its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from app.extend.facade.host import current_context

MAX_PREVIEW_RESOLUTION = 512


class LatentPreviewer:
    """Turns a clean latent into a picture. `preview` maps (1, C, h, w) to (H, W, 3) in 0..1."""

    def __init__(self, preview: Callable[[Tensor], Tensor]) -> None:
        self._preview = preview

    def decode_latent_to_preview(self, x0: Tensor) -> Any:
        """The first picture of the batch, for PIL."""
        from PIL import Image

        picture = (self._preview(x0[:1]).clamp(0, 1) * 255).round().to("cpu", torch.uint8)
        return Image.fromarray(picture.numpy())

    def decode_latent_to_preview_image(self, preview_format: str, x0: Tensor) -> tuple[str, Any, int]:
        """(format, picture, longest side), as a progress bar takes it."""
        return preview_format, self.decode_latent_to_preview(x0), MAX_PREVIEW_RESOLUTION


class Latent2RGBPreviewer(LatentPreviewer):
    """A linear map from latent channels to colours: `factors` (C, 3) and `bias` (3,)."""

    def __init__(self, factors: Any, bias: Any = None, reshape: Any = None) -> None:
        weight = torch.as_tensor(factors, dtype=torch.float32)
        shift = torch.zeros(3) if bias is None else torch.as_tensor(bias, dtype=torch.float32)

        def preview(x0: Tensor) -> Tensor:
            plane = x0[0] if reshape is None else reshape(x0)[0]
            return (plane.float().cpu().movedim(0, -1) @ weight + shift + 1) / 2

        super().__init__(preview)


def get_previewer(device: Any, latent_format: Any) -> LatentPreviewer | None:
    """A previewer for latents of a format, None when nothing is known of its colours."""
    if getattr(latent_format, "preview", None) is not None:
        return LatentPreviewer(latent_format.preview)
    factors = getattr(latent_format, "latent_rgb_factors", None)
    return (
        None
        if factors is None
        else Latent2RGBPreviewer(factors, getattr(latent_format, "latent_rgb_factors_bias", None))
    )


def prepare_callback(model: Any, steps: int, x0_output_dict: dict[str, Any] | None = None) -> Callable[..., None]:
    """A sampler's callback(step, x0, x, total_steps) that reports progress, with a preview when one is due."""
    latent_format = model.model.latent_format
    previewer = get_previewer(model.load_device, latent_format)

    def callback(step: int, x0: Tensor, x: Tensor, total_steps: int) -> None:
        if x0_output_dict is not None:
            x0_output_dict["x0"] = x0
        context = current_context()
        if context is not None:
            show = None if previewer is None else lambda: latent_format.preview(x0[:1])
            context.progress(step + 1, total_steps, show if hasattr(latent_format, "preview") else None)

    return callback

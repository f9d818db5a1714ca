"""Other sizes for images and latents.

B images, C channels, H × W pixels, channels second: (B, C, H, W)
"""

from __future__ import annotations

from typing import cast

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from app.errors import InvalidRequest, TooLarge

IMAGE_METHODS = ("nearest-exact", "bilinear", "area", "bicubic", "lanczos")
LATENT_METHODS = ("nearest-exact", "bilinear", "area", "bicubic", "bislerp")
MAX_ELEMENTS = 1 << 31


def resize(samples: Tensor, width: int, height: int, method: str, *, crop: bool = False) -> Tensor:
    """(B, C, H, W) → (B, C, height, width), float32. With `crop`, the middle part of the new proportions is taken.

    Raises:
        InvalidRequest: an unknown method, or a side below 1.
        TooLarge: more numbers than fit into memory sensibly.
    """
    if method not in (*IMAGE_METHODS, "bislerp"):
        raise InvalidRequest(f"Resizing by {method!r} is not known.", remedy=f"Use {', '.join(IMAGE_METHODS)}.")
    if width < 1 or height < 1:
        raise InvalidRequest(f"A size of {width} × {height} is not possible.", remedy="Use sides of at least 1.")
    if samples.shape[0] * samples.shape[1] * width * height > MAX_ELEMENTS:
        raise TooLarge(f"{len(samples)} images of {width} × {height} are too large.", remedy="Use a smaller size.")
    if crop:
        samples = centre_crop(samples, width / height)
    if samples.shape[-2:] == (height, width):
        return samples
    if method == "lanczos":
        return _lanczos(samples, width, height)
    if method == "bislerp":
        return bislerp(samples, width, height)
    return functional.interpolate(samples.float(), size=(height, width), mode=method)


def kept_proportions(size: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """(width, height) where a 0 stands for whatever keeps the proportions of `size` (width, height); both 0 for it."""
    if width == 0 and height == 0:
        return size
    if width == 0:
        return max(1, round(size[0] * height / size[1])), height
    if height == 0:
        return width, max(1, round(size[1] * width / size[0]))
    return width, height


def scaled_by(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """(width, height) times the factor, at least 1."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def centre_crop(samples: Tensor, proportion: float) -> Tensor:
    """The largest middle part of (…, H, W) whose width is `proportion` times its height; at least a pixel, or two."""
    height, width = samples.shape[-2:]
    x = round((width - height * proportion) / 2) if width > height * proportion else 0
    y = round((height - width / proportion) / 2) if height > width / proportion else 0
    x, y = min(x, (width - 1) // 2), min(y, (height - 1) // 2)
    return samples[..., y : height - y, x : width - x]


def _lanczos(samples: Tensor, width: int, height: int) -> Tensor:
    """Channel by channel in floating point, so that nothing is rounded or clamped."""
    planes = samples.detach().float().cpu().flatten(0, 1)
    resized = [
        torch.frombuffer(
            bytearray(
                Image.fromarray(plane.contiguous().numpy()).resize((width, height), Image.Resampling.LANCZOS).tobytes()
            ),
            dtype=torch.float32,
        ).view(height, width)
        for plane in planes
    ]
    return torch.unflatten(torch.stack(resized), 0, samples.shape[:2]).to(samples.device)


def bislerp(samples: Tensor, width: int, height: int) -> Tensor:
    """Between neighbours along their common circle: directions are turned, lengths mixed, so contrast is not lost."""
    along_width = _slerp_last(samples.float(), width)
    return _slerp_last(along_width.transpose(-1, -2), height).transpose(-1, -2)


def _slerp_last(samples: Tensor, length: int) -> Tensor:
    """(B, C, H, W) → (B, C, H, length); pixel centres are mapped, ends are held."""
    count = samples.shape[-1]
    places = ((torch.arange(length, device=samples.device) + 0.5) * count / length - 0.5).clamp(0, count - 1)
    low = places.floor().long().clamp(max=count - 1)
    high = (low + 1).clamp(max=count - 1)
    return slerp(samples[..., low], samples[..., high], places - low)


def slerp(first: Tensor, second: Tensor, part: Tensor) -> Tensor:
    """Spherical interpolation of the vectors along dimension 1; those that (almost) oppose or agree go straight."""
    lengths = [_lengths(vectors) for vectors in (first, second)]
    units = [v / n.clamp(min=1e-12) for v, n in zip((first, second), lengths, strict=True)]
    cosine = (units[0] * units[1]).sum(dim=1, keepdim=True).clamp(-1, 1)
    angle = torch.acos(cosine)
    straight = (cosine.abs() > 1 - 1e-5) | (lengths[0] == 0) | (lengths[1] == 0)
    sine = torch.where(straight, torch.ones_like(angle), torch.sin(angle))
    turned = (torch.sin((1 - part) * angle) * units[0] + torch.sin(part * angle) * units[1]) / sine
    on_circle = turned * (lengths[0] * (1 - part) + lengths[1] * part)
    return torch.where(straight, first * (1 - part) + second * part, on_circle)


def _lengths(vectors: Tensor) -> Tensor:
    # Torch does not say what the method returns.
    return cast("Tensor", vectors.norm(dim=1, keepdim=True))  # pyright: ignore[reportUnknownMemberType]

"""Picture files to tensors: bounded, turned upright, all frames, with the mask that their transparency says.

B frames, H × W pixels
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps, ImageSequence
from torch import Tensor

from app.errors import AppError, Missing, TooLarge, UnusableFile
from app.images.pixels import from_picture

MAX_PIXELS = 200_000_000  # of all frames together: 2.4 GB as floats
EMPTY_MASK = 64  # the side of the mask of an opaque picture


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture file: `image` (B, H, W, 3) in 0..1 and `mask` (B, H, W), 1 where the picture is transparent.

    The mask of an opaque picture is (1, 64, 64) zeros.
    """

    image: Tensor
    mask: Tensor


def decode(source: Path | bytes, name: str = "") -> Decoded:
    """The frames of a picture file that have the size of the first.

    Raises:
        Missing: no such file.
        TooLarge: more pixels than MAX_PIXELS, told before they are decoded.
        UnusableFile: damaged, or of no format that is known.
    """
    with opened(source, name) as picture:
        frames = list(_frames(picture))
    images = torch.stack([from_picture(frame.convert("RGB")) for frame in frames])
    masks = [_mask(frame) for frame in frames]
    if any(mask is not None for mask in masks):
        opaque = torch.zeros(images.shape[1:3])
        return Decoded(images, torch.stack([opaque if mask is None else mask for mask in masks]))
    return Decoded(images, torch.zeros(1, EMPTY_MASK, EMPTY_MASK))


def decode_channel(source: Path | bytes, channel: str, name: str = "") -> Tensor:
    """One channel ("alpha", "red", "green" or "blue") of a file as a mask (1, H, W); alpha is given as 1 − alpha.

    A file without the channel gives (1, 64, 64) zeros. Raises as `decode` does.
    """
    with opened(source, name) as picture:
        frame = next(_frames(picture))
    letter = channel[0].upper()
    bands = frame.convert("RGBA" if _mask(frame) is not None else "RGB")
    if letter not in bands.getbands():
        return torch.zeros(1, EMPTY_MASK, EMPTY_MASK)
    values = from_picture(bands.getchannel(letter))[None, :, :, 0]
    return 1 - values if letter == "A" else values


@contextmanager
def opened(source: Path | bytes, name: str = "") -> Generator[Image.Image]:
    """A picture that is open but not decoded; whatever goes wrong with it inside is told as `decode` says."""
    name = name or (source.name if isinstance(source, Path) else "picture")
    if isinstance(source, Path) and not source.is_file():
        raise Missing(f"There is no picture {name!r}.", remedy="Upload it again, or choose another one.")
    try:
        # Pillow warns at half of what it refuses; our own limit is the one that counts.
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
            picture = Image.open(_readable(source))
        with picture:
            frames = getattr(picture, "n_frames", 1)
            if picture.width * picture.height * frames > MAX_PIXELS:
                raise _too_large(name, f"{frames} × {picture.width} × {picture.height} pixels")
            yield picture
    except AppError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(name, "too many pixels") from error
    except Exception as error:
        # A damaged file makes the decoders raise anything: SyntaxError, struct.error, IndexError …
        raise UnusableFile(
            f"The file {name!r} is no picture that can be read.", remedy="Use PNG, JPEG, WebP, GIF, BMP or TIFF."
        ) from error


def _readable(source: Path | bytes) -> Path | io.BytesIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _too_large(name: str, told: str) -> TooLarge:
    return TooLarge(f"The picture {name!r} has {told}, more than {MAX_PIXELS}.", remedy="Use a smaller picture.")


def _frames(picture: Image.Image) -> Iterator[Image.Image]:
    """Upright frames of the first one's size, in 8 bits."""
    size: tuple[int, int] | None = None
    for frame in ImageSequence.Iterator(picture):
        upright = ImageOps.exif_transpose(frame)
        size = size or upright.size
        if upright.size == size:
            yield _eight_bits(upright)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Pillow clips what has more than 8 bits; scale it instead."""
    if picture.mode.startswith("I"):
        return picture.convert("I").point(lambda value: value / 257).convert("L")
    return picture.convert("L") if picture.mode == "F" else picture.copy()


def _mask(picture: Image.Image) -> Tensor | None:
    info: dict[Any, Any] = picture.info
    if "A" not in picture.getbands() and "transparency" not in info:
        return None
    return 1 - from_picture(picture.convert("RGBA").getchannel("A"))[:, :, 0]

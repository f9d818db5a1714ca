"""Folders of pictures with their descriptions beside them, as people gather them to train on.

B pictures, H × W pixels
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from app.errors import InvalidRequest, Missing
from app.images.decoding import decode
from app.images.resize import resize

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
FITTING = ("None", "Stretch", "Crop", "Pad")
LONGEST_CAPTION = 1 << 20  # bytes
_REPEATS = re.compile(r"(\d{1,4})_.*")


def pictures_in(folder: Path) -> list[Path]:
    """The pictures right in a folder, by name, then those of its sub-folders.

    A sub-folder called "10_cats" counts ten times, as trainers of LoRAs have it.

    Raises:
        Missing: no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise Missing(
            f"There is no folder {folder.name!r}.", remedy="Put it into the input folder.", input_name="folder"
        )
    found = list(_pictures(folder))
    for inner in sorted(path for path in folder.iterdir() if _is_folder(path)):
        repeats = _REPEATS.fullmatch(inner.name)
        found += list(_pictures(inner)) * (int(repeats[1]) if repeats else 1)
    if not found:
        raise Missing(
            f"There is no picture in the folder {folder.name!r}.",
            remedy=f"Put some there: {', '.join(sorted(PICTURES))}.",
            input_name="folder",
        )
    return found


def caption_of(picture: Path) -> str:
    """What the text file beside a picture says, "" without one.

    Raises:
        InvalidRequest: a file that is no text, or far too long.
    """
    file = picture.with_suffix(".txt")
    if not file.is_file():
        return ""
    if file.stat().st_size > LONGEST_CAPTION:
        raise InvalidRequest(f"The description {file.name!r} is longer than a megabyte.", remedy="Shorten it.")
    try:
        return file.read_text("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The description {file.name!r} is no UTF-8 text.", remedy="Save it as UTF-8.") from error


def picture_set(files: Sequence[Path], fitting: str = "None", width: int = 0, height: int = 0) -> Tensor:
    """The first frame of each file in one size: (B, H, W, 3) in 0..1.

    A side below 1 is that of the first picture. `fitting` says what is done with pictures of other sizes: "None"
    refuses them, "Stretch" changes proportions, "Crop" takes the middle, "Pad" adds black.

    Raises:
        InvalidRequest: another size with "None"; names the picture.
        Missing, TooLarge, UnusableFile: as `decoding.decode`.
    """
    pictures: list[Tensor] = []
    for file in files:
        image = decode(file).image[:1]
        width = width if width > 0 else image.shape[2]
        height = height if height > 0 else image.shape[1]
        own, size = (image.shape[2], image.shape[1]), (width, height)
        if own != size and fitting == "None":
            raise InvalidRequest(
                f"The picture {file.name!r} has {own[0]} × {own[1]} pixels, and not {width} × {height}.",
                remedy="Choose a resize_method, or pictures of one size.",
                input_name="resize_method",
            )
        pictures.append(image if own == size else fitted(image, size, fitting))
    return torch.cat(pictures)


def fitted(image: Tensor, size: tuple[int, int], fitting: str) -> Tensor:
    """(B, H, W, C) in another size (width, height) by "Stretch", "Crop" or "Pad"."""
    width, height = size
    channels_first = image.movedim(-1, 1)
    if fitting != "Pad":
        resized = resize(channels_first, width, height, "lanczos", crop=fitting == "Crop")
        return resized.movedim(1, -1).clamp(0, 1)
    scale = min(width / image.shape[2], height / image.shape[1])
    inner = min(width, max(1, round(image.shape[2] * scale))), min(height, max(1, round(image.shape[1] * scale)))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    padded = image.new_zeros(len(image), height, width, image.shape[3])
    resized = resize(channels_first, *inner, "lanczos").movedim(1, -1).clamp(0, 1)
    padded[:, top : top + inner[1], left : left + inner[0]] = resized
    return padded


def _pictures(folder: Path) -> Iterator[Path]:
    """In the order of their names; links out of the folder are left alone."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name.casefold()):
        if path.suffix.lower() in PICTURES and path.is_file() and not path.is_symlink():
            yield path


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not path.name.startswith(".")

"""`node_helpers`: small things that many nodes share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from PIL import Image, ImageFile, UnidentifiedImageError


def conditioning_set_values(conditioning: Any, values: Mapping[str, Any] | None = None, append: bool = False) -> Any:
    """The conditioning with further options; with `append`, values are put behind those that are there."""
    changed: list[list[Any]] = []
    for features, said in conditioning:
        options: dict[str, Any] = dict(said)
        for name, value in (values or {}).items():
            options[name] = options[name] + value if append and options.get(name) is not None else value
        changed.append([features, options])
    return changed


def pillow(fn: Callable[[Any], Any], arg: Any) -> Any:
    """`fn(arg)`; once more, and patiently, when a picture's file is cut off."""
    try:
        return fn(arg)
    except (OSError, UnidentifiedImageError, ValueError):
        before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
        try:
            return fn(arg)
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


def hasher() -> Callable[..., Any]:
    """The hash function for files."""
    return hashlib.sha256


def string_to_torch_dtype(string: str) -> torch.dtype | None:
    """The type of numbers that a widget's word stands for; None for others."""
    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}.get(string)


def image_alpha_fix(destination: Any, source: Any) -> tuple[Any, Any]:
    """Two images (B, H, W, C) with one number of channels: that of the first, opaque where alpha was missing."""
    if destination.shape[-1] < source.shape[-1]:
        source = source[..., : destination.shape[-1]]
    elif destination.shape[-1] > source.shape[-1]:
        source = torch.nn.functional.pad(source, (0, destination.shape[-1] - source.shape[-1]), value=1.0)
    return destination, source


def open_image(path: str) -> Image.Image:
    """A picture, with patience for files that are cut off."""
    return pillow(Image.open, path)

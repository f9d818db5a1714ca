"""Tensors to picture files, with the graph that made them written inside."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin
from torch import Tensor

from app.errors import InvalidRequest
from app.images.pixels import to_picture

Texts = Mapping[str, str]
EXTENSIONS: Mapping[str, str] = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}


def metadata_texts(prompt: Any, extra: Mapping[str, Any] | None) -> dict[str, str]:
    """What is written into a file, by keyword: "prompt", and each key of the client's extra data, as JSON text."""
    texts = {} if prompt is None else {"prompt": json.dumps(prompt)}
    return texts | {str(key): json.dumps(value) for key, value in (extra or {}).items()}


def encode(
    image: Tensor, format: str, texts: Texts | None = None, *, quality: int = 90, compress_level: int = 4
) -> bytes:
    """One image (H, W, C) in 0..1 as the bytes of a file.

    PNG carries the texts as text chunks; WebP and JPEG as Exif: Model holds `prompt:…`, Make and the tags below it
    hold the others. `compress_level` (0 to 9) is PNG's, `quality` (1 to 100) is the others'; 100 is lossless in WebP.

    Raises:
        InvalidRequest: another format, no image, or values that are no numbers.
    """
    picture = to_picture(image)
    if format == "png":
        return _saved(picture, "PNG", pnginfo=_png_texts(texts or {}), compress_level=compress_level)
    if format == "webp":
        options = {"lossless": True} if quality == 100 else {"quality": quality}
        return _saved(picture, "WEBP", exif=exif_of(texts or {}), **options)
    if format == "jpeg":
        return _saved(picture.convert("RGB"), "JPEG", exif=exif_of(texts or {}), quality=quality)
    raise InvalidRequest(f"Pictures cannot be written as {format!r}.", remedy=f"Use {', '.join(EXTENSIONS)}.")


def encode_animation(
    images: Tensor,
    format: str,
    fps: float,
    texts: Texts | None = None,
    *,
    compress_level: int = 4,
    lossless: bool = True,
    quality: int = 80,
    effort: int = 4,
) -> bytes:
    """Images (B, H, W, C) in 0..1 as the bytes of one file that moves for ever, `fps` of them in a second.

    Texts are written as `encode` writes them. `compress_level` (0 to 9) is PNG's; WebP's are `lossless`, or else
    `quality` (0 to 100), and `effort` (0 to 6), with which files become smaller and take longer.

    Raises:
        InvalidRequest: another format, no images, or values that are no numbers.
    """
    if images.ndim != 4 or not len(images):
        raise InvalidRequest(
            f"A tensor of shape {list(images.shape)} holds no images.", remedy="Link something that gives an IMAGE."
        )
    first, *rest = (to_picture(image) for image in images)
    moving = {"save_all": True, "append_images": rest, "duration": max(1, int(1000 / fps)), "loop": 0}
    if format == "png":
        return _saved(first, "PNG", pnginfo=_png_texts(texts or {}), compress_level=compress_level, **moving)
    if format == "webp":
        options = {"lossless": lossless, "quality": quality, "method": effort}
        return _saved(first, "WEBP", exif=exif_of(texts or {}), **options, **moving)
    raise InvalidRequest(f"Animations cannot be written as {format!r}.", remedy="Use png or webp.")


def encode_preview(image: Tensor, longest: int, quality: int = 80) -> bytes:
    """An image (H, W, C) in 0..1 as JPEG whose sides have at most `longest` pixels; never enlarged."""
    picture = to_picture(image).convert("RGB")
    picture.thumbnail((longest, longest), Image.Resampling.BILINEAR)
    # Full colour resolution: at these sizes halved colours would smear what is to be judged.
    return _saved(picture, "JPEG", quality=quality, subsampling=0)


def _png_texts(texts: Texts) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        info.add_text(key, text)
    return info


def exif_of(texts: Texts) -> bytes:
    """Texts as Exif: Model holds `prompt:…`, Make and the tags below it the others."""
    exif = Image.Exif()
    tag = ExifTags.Base.Make.value
    for key, text in texts.items():
        if key == "prompt":
            exif[ExifTags.Base.Model.value] = f"prompt:{text}"
        else:
            exif[tag] = f"{key}:{text}"
            tag -= 1
    return exif.tobytes()


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    target = io.BytesIO()
    picture.save(target, kind, **options)
    return target.getvalue()

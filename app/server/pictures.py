"""What is done to pictures on their way out and in: smaller ones, single channels, masks. Blocks; for a thread."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from app.errors import TooLarge, UnusableFile

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 200_000_000


def preview(path: Path, kind: str, quality: int, *, opaque: bool) -> tuple[bytes, str]:
    """(bytes, mime type) of the picture as WebP or JPEG of that quality (1 to 100)."""
    picture = open_picture(path)
    is_jpeg = kind == "jpeg"
    if opaque or is_jpeg:
        picture = picture.convert("RGB")
    return _saved(picture, "JPEG" if is_jpeg else "WEBP", quality=min(max(quality, 1), 100)), _mime(is_jpeg)


def channel(path: Path, which: Literal["rgb", "a"]) -> bytes:
    """The picture without its alpha, or a black one with its alpha; as PNG."""
    from PIL import Image

    picture = open_picture(path)
    if which == "rgb":
        return _saved(picture.convert("RGB"), "PNG", compress_level=1)
    alpha = picture.convert("RGBA").getchannel("A")
    black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
    black.putalpha(alpha)
    return _saved(black, "PNG", compress_level=1)


def with_alpha_of(original: Path, mask: Path) -> bytes:
    """`original` with the alpha of `mask`, as PNG; texts in the original stay."""
    from PIL import PngImagePlugin

    picture = open_picture(original)
    texts = PngImagePlugin.PngInfo()
    for name, value in getattr(picture, "text", {}).items():
        texts.add_text(name, value)
    alpha = open_picture(mask).convert("RGBA").getchannel("A")
    painted = picture.convert("RGBA")
    painted.putalpha(alpha if alpha.size == painted.size else alpha.resize(painted.size))
    return _saved(painted, "PNG", compress_level=4, pnginfo=texts)


def cover(text: str) -> bytes:
    """The picture that a model file carries in base 64, as WebP. Raises as `open_picture` does."""
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as broken:
        raise UnusableFile("The picture inside the model file is damaged.", remedy="Put one beside it.") from broken
    return _saved(open_picture(io.BytesIO(content), "The picture inside the model file"), "WEBP", quality=90)


def open_picture(source: Path | io.BytesIO, name: str = "") -> Image:
    """A decoded picture; `name` is what to call one that is no file.

    Raises:
        UnusableFile: none, or a damaged one.
        TooLarge: more pixels than are taken, told before they are decoded.
    """
    from PIL import Image

    name = source.name if isinstance(source, Path) else name
    try:
        with open(source, "rb") if isinstance(source, Path) else source as file:
            picture = Image.open(file)
            if picture.width * picture.height > MAX_PIXELS:
                told = f"{name} has {picture.width} by {picture.height} pixels."
                raise TooLarge(told, remedy="Use a smaller picture.")
            picture.load()
    except Image.DecompressionBombError as broken:
        raise TooLarge(f"{name} has too many pixels.", remedy="Use a smaller picture.") from broken
    except TooLarge:
        raise
    except Exception as broken:
        # Decoders raise whatever a damaged file makes them raise: SyntaxError, struct.error, IndexError …
        raise UnusableFile(f"{name} is no picture that can be read.", remedy="Use PNG, JPEG or WebP.") from broken
    return picture


def _saved(picture: Image, kind: str, **options: object) -> bytes:
    target = io.BytesIO()
    picture.save(target, kind, **options)
    return target.getvalue()


def _mime(is_jpeg: bool) -> str:
    return "image/jpeg" if is_jpeg else "image/webp"

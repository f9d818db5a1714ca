"""What was written into a picture file: the graph that made it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from app.images.decoding import opened

_NAMED = re.compile(r"(\w+):(?=[\[{])")
_BARE = re.compile(r"(?<![\w\"])(NaN|-?Infinity)(?![\w\"])")


def read_texts(source: Path | bytes) -> dict[str, str]:
    """The texts in a PNG's chunks, or in the Exif tags that `encode` writes; {} where there are none.

    Raises:
        Missing, TooLarge, UnusableFile: no file, or no picture.
    """
    with opened(source) as picture:
        texts: Mapping[Any, Any] = {**picture.info, **getattr(picture, "text", {})}
        found = {str(key): value for key, value in texts.items() if isinstance(value, str)}
        return {**found, **dict(_exif_texts(picture))}


def read_graph(source: Path | bytes) -> Any:
    """The saved workflow in a picture, else its prompt, as JSON data; None when it holds neither."""
    texts = read_texts(source)
    for key in ("workflow", "prompt"):
        if key in texts:
            try:
                return json.loads(_BARE.sub("null", texts[key]))
            except (ValueError, RecursionError):
                continue
    return None


def _exif_texts(picture: Image.Image) -> Iterator[tuple[str, str]]:
    exif = picture.getexif()
    for tag in range(ExifTags.Base.Model.value, ExifTags.Base.Model.value - 16, -1):
        text = str(exif.get(tag, ""))
        named = _NAMED.match(text)
        if named:
            yield named[1], text[named.end() :]

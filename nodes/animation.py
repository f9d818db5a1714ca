"""Nodes that save pictures that move."""

from __future__ import annotations

from typing import Annotated, Literal

from app.api import Context, ExtraInfo, Image, PromptData, Range, Returned, node

Fps = Annotated[float, Range(0.01, 1000.0, step=0.01)]
# How long WebP's encoder may look for a smaller file, by the names that workflows have for it.
EFFORTS = {"default": 4, "fastest": 0, "slowest": 6}


@node(
    "SaveAnimatedPNG",
    category="image/animation",
    id="SaveAnimatedPNG",
    output_node=True,
    aliases=("video", "apng", "export"),
)
def save_animated_png(
    *,
    context: Context,
    images: Image,
    filename_prefix: str = "LatentLoom",
    fps: Fps = 6.0,
    compress_level: Annotated[int, Range(0, 9)] = 4,
    prompt: PromptData = None,
    extra_pnginfo: ExtraInfo = None,
) -> Returned:
    """Saves a batch of images as one PNG that moves, with the workflow inside.

    Args:
        images: The images in their order.
        filename_prefix: How the file name begins; may hold a sub-folder.
        fps: How many are shown in a second.
        compress_level: 0 is quickest, 9 makes the smallest file.
    """
    entries = context.files.save_animation(
        images, filename_prefix, "png", fps, compress_level=compress_level, prompt=prompt, extra=extra_pnginfo
    )
    return Returned(ui={"images": entries, "animated": [True]})


@node(
    "SaveAnimatedWEBP",
    category="image/animation",
    id="SaveAnimatedWEBP",
    output_node=True,
    aliases=("video", "gif", "export"),
)
def save_animated_webp(
    *,
    context: Context,
    images: Image,
    filename_prefix: str = "LatentLoom",
    fps: Fps = 6.0,
    lossless: bool = True,
    quality: Annotated[int, Range(0, 100)] = 80,
    method: Literal["default", "fastest", "slowest"],
    prompt: PromptData = None,
    extra_pnginfo: ExtraInfo = None,
) -> Returned:
    """Saves a batch of images as one WebP that moves, with the workflow inside.

    Args:
        images: The images in their order.
        filename_prefix: How the file name begins; may hold a sub-folder.
        fps: How many are shown in a second.
        lossless: Whether every pixel is kept.
        quality: Of a file that is not lossless; 100 is the best.
        method: How long to look for a smaller file.
    """
    entries = context.files.save_animation(
        images,
        filename_prefix,
        "webp",
        fps,
        lossless=lossless,
        quality=quality,
        effort=EFFORTS[method],
        prompt=prompt,
        extra=extra_pnginfo,
    )
    return Returned(ui={"images": entries, "animated": [True]})

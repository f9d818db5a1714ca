"""Nodes that make and change masks."""

from __future__ import annotations

from typing import Annotated, Literal

import torch

from app.api import Choice, Context, ExtraInfo, FileIn, Image, Mask, Options, PromptData, Range, Returned, node
from app.images.decoding import decode_channel
from app.images.masks import OPERATIONS, as_batch, colour_mask, combine, feather, grow

Side = Annotated[int, Range(1, 16384, step=1)]
Place = Annotated[int, Range(0, 16384, step=1)]
Share = Annotated[float, Range(0.0, 1.0, step=0.01)]
Colour = Annotated[int, Range(0, 0xFFFFFF, step=1), Options(display="color")]


@node("Solid Mask", category="mask", id="SolidMask")
def solid_mask(*, value: Share = 1.0, width: Side = 512, height: Side = 512) -> Mask:
    """A mask with one value everywhere."""
    return torch.full((1, height, width), value)


@node("Invert Mask", category="mask", id="InvertMask")
def invert_mask(*, mask: Mask) -> Mask:
    """Exchanges what is masked and what is not."""
    return 1.0 - mask


@node("Crop Mask", category="mask", id="CropMask")
def crop_mask(*, mask: Mask, x: Place = 0, y: Place = 0, width: Side = 512, height: Side = 512) -> Mask:
    """Cuts a rectangle out of a mask."""
    return as_batch(mask)[:, y : y + height, x : x + width]


@node("Combine Masks", category="mask", id="MaskComposite", aliases=("union", "intersection"))
def mask_composite(
    *, destination: Mask, source: Mask, x: Place = 0, y: Place = 0, operation: Annotated[str, Choice(*OPERATIONS)]
) -> Mask:
    """Combines a mask with another one that is put on it at (x, y)."""
    return combine(destination, source, x, y, operation)


@node("Feather Mask", category="mask", id="FeatherMask", aliases=("soften", "fade"))
def feather_mask(*, mask: Mask, left: Place = 0, top: Place = 0, right: Place = 0, bottom: Place = 0) -> Mask:
    """Lets a mask fade in from its edges, over so many pixels."""
    return feather(mask, left, top, right, bottom)


@node("Grow Mask", category="mask", id="GrowMask", aliases=("expand", "dilate", "erode"))
def grow_mask(
    *, mask: Mask, expand: Annotated[int, Range(-16384, 16384, step=1)] = 0, tapered_corners: bool = True
) -> Mask:
    """Makes a mask larger, or smaller where the number is negative.

    Args:
        expand: By how many pixels.
        tapered_corners: Whether corners are cut off.
    """
    return grow(mask, expand, tapered=tapered_corners)


@node("Threshold Mask", category="mask", id="ThresholdMask", aliases=("binarise",))
def threshold_mask(*, mask: Mask, value: Share = 0.5) -> Mask:
    """Makes a mask hard: 1 where it is above the value, else 0."""
    return (mask > value).float()


@node("Convert Mask to Image", category="mask", id="MaskToImage")
def mask_to_image(*, mask: Mask) -> Image:
    """Shows a mask as a grey picture."""
    return as_batch(mask)[..., None].expand(-1, -1, -1, 3)


@node("Convert Image to Mask", category="mask", id="ImageToMask")
def image_to_mask(*, image: Image, channel: Literal["red", "green", "blue", "alpha"]) -> Mask:
    """Takes one channel of an image as mask; an image without alpha is opaque."""
    index = ("red", "green", "blue", "alpha").index(channel)
    return image[..., index] if index < image.shape[-1] else torch.ones(image.shape[:-1])


@node("Color to Mask", category="mask", id="ImageColorToMask", aliases=("colour", "key"))
def image_color_to_mask(*, image: Image, color: Colour = 0) -> Mask:
    """Masks what has exactly one colour.

    Args:
        color: The colour as 0xRRGGBB.
    """
    return colour_mask(image, color)


@node("Load Image (as Mask)", category="mask", id="LoadImageMask", aliases=("open", "upload"))
def load_image_mask(
    *,
    context: Context,
    image: Annotated[str, FileIn("input", upload="image")],
    channel: Literal["alpha", "red", "green", "blue"],
) -> Mask:
    """Loads one channel of a picture as mask; of alpha the inverse."""
    return decode_channel(context.files.path(image), channel, image)


@node("Preview Mask", category="mask", id="MaskPreview", output_node=True, aliases=("show",))
def mask_preview(
    *, context: Context, mask: Mask, prompt: PromptData = None, extra_pnginfo: ExtraInfo = None
) -> Returned:
    """Shows a mask without keeping it."""
    image = as_batch(mask)[..., None].expand(-1, -1, -1, 3)
    entries = context.files.save_images(image, "preview", kind="temp", prompt=prompt, extra=extra_pnginfo)
    return Returned(ui={"images": entries})

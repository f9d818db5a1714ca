"""Nodes that put images together."""

from __future__ import annotations

from typing import Annotated

import torch

from app.api import Choice, Image, Mask, Range, node
from app.images.composite import BLENDS, PORTER_DUFF, blend, pad_for_outpaint, paste, porter_duff, same_size
from app.images.masks import as_batch, repeated
from app.images.resize import resize

Place = Annotated[int, Range(0, 16384, step=1)]
Margin = Annotated[int, Range(0, 16384, step=8)]


@node("Image Composite Masked", category="image", id="ImageCompositeMasked", aliases=("paste", "overlay"))
def image_composite_masked(
    *,
    destination: Image,
    source: Image,
    x: Place = 0,
    y: Place = 0,
    resize_source: bool = False,
    mask: Mask | None = None,
) -> Image:
    """Puts one image on another where a mask is 1."""
    source = same_channels(source, destination)
    below, above = destination.movedim(-1, 1), source.movedim(-1, 1)
    return paste(below, above, x, y, mask=mask, resize_source=resize_source).movedim(1, -1)


@node("Image Blend", category="image/postprocessing", id="ImageBlend", aliases=("mix", "multiply", "screen"))
def image_blend(
    *,
    image1: Image,
    image2: Image,
    blend_factor: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.5,
    blend_mode: Annotated[str, Choice(*BLENDS)],
) -> Image:
    """Blends the second image into the first."""
    return blend(image1, same_size(image2, image1), blend_factor, blend_mode)


@node("Batch Images", category="image", id="ImageBatch", aliases=("join", "merge"))
def image_batch(*, image1: Image, image2: Image) -> Image:
    """Makes one batch of two; the second is fitted to the size of the first."""
    return torch.cat([image1, same_size(image2, image1)])


@node("Pad Image for Outpainting", category="image", id="ImagePadForOutpaint", aliases=("extend", "outpaint"))
def image_pad_for_outpaint(
    *,
    image: Image,
    left: Margin = 0,
    top: Margin = 0,
    right: Margin = 0,
    bottom: Margin = 0,
    feathering: Annotated[int, Range(0, 16384, step=1)] = 40,
) -> tuple[Image, Mask]:
    """Makes the canvas larger. The mask is 1 where it is new.

    Args:
        feathering: Over how many pixels of the old picture the mask fades out.
    """
    return pad_for_outpaint(image, left, top, right, bottom, feathering)


@node("Join Image with Alpha", category="mask/compositing", id="JoinImageWithAlpha", aliases=("transparent",))
def join_image_with_alpha(*, image: Image, alpha: Mask) -> Image:
    """Makes an image transparent where the mask is 1."""
    count = min(len(image), len(as_batch(alpha)))
    fitted = resize(as_batch(alpha)[:count, None], image.shape[2], image.shape[1], "bilinear")
    return torch.cat([image[:count, ..., :3], 1.0 - fitted.movedim(1, -1)], dim=-1)


@node("Split Image with Alpha", category="mask/compositing", id="SplitImageWithAlpha", aliases=("transparent",))
def split_image_with_alpha(*, image: Image) -> tuple[Image, Mask]:
    """Splits an image into colours and a mask that is 1 where it is transparent."""
    opaque = torch.zeros(image.shape[:-1])
    return image[..., :3], 1.0 - image[..., 3] if image.shape[-1] > 3 else opaque


@node("Porter-Duff Image Composite", category="mask/compositing", id="PorterDuffImageComposite")
def porter_duff_image_composite(
    *,
    source: Image,
    source_alpha: Mask,
    destination: Image,
    destination_alpha: Mask,
    mode: Annotated[str, Choice(*PORTER_DUFF)] = "DST",
) -> tuple[Image, Mask]:
    """Composes two images with transparency. The masks are 1 where an image is transparent."""
    source = same_size(source, destination)
    size = (destination.shape[2], destination.shape[1])
    alphas = [
        1.0 - repeated(resize(as_batch(alpha)[:, None], *size, "bilinear").movedim(1, -1), len(destination))
        for alpha in (source_alpha, destination_alpha)
    ]
    source = repeated(source, len(destination))
    colour, alpha = porter_duff(source * alphas[0], alphas[0], destination * alphas[1], alphas[1], mode)
    return colour, 1.0 - alpha[..., 0]


def same_channels(image: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """An image (B, H, W, C) in the channels of another: alpha is left out, or added as opaque."""
    if image.shape[-1] >= like.shape[-1]:
        return image[..., : like.shape[-1]]
    return torch.cat([image, torch.ones(*image.shape[:-1], like.shape[-1] - image.shape[-1])], dim=-1)

"""Nodes for edges, morphology, brightness and colour apart, noise, and pictures beside each other."""

from __future__ import annotations

from typing import Annotated, Literal

import torch

from app.api import Choice, Image, Port, Range, Seed, node
from app.images.colours import from_ycbcr, to_ycbcr
from app.images.edges import canny
from app.images.morphology import OPERATIONS
from app.images.stitching import COLOURS, Direction, fitted_on, stitched

Threshold = Annotated[float, Range(0.01, 0.99, step=0.01)]
Side = Annotated[int, Range(1, 16384, step=1)]


@node("Canny", category="image/preprocessors", id="Canny", aliases=("edges", "lines", "controlnet"))
def canny_edges(*, image: Image, low_threshold: Threshold = 0.4, high_threshold: Threshold = 0.8) -> Image:
    """Finds the edges in a picture, white on black, as ControlNets for lines are shown them.

    Args:
        low_threshold: How strong an edge must be that hangs together with a stronger one.
        high_threshold: How strong an edge must be to count by itself.
    """
    return canny(image, low_threshold, high_threshold)[..., None].expand(-1, -1, -1, 3)


@node("Image Morphology", category="image/postprocessing", id="Morphology", aliases=("erode", "dilate"))
def morphology(
    *,
    image: Image,
    operation: Annotated[str, Choice(*OPERATIONS)],
    kernel_size: Annotated[int, Range(3, 999, step=1)] = 3,
) -> Image:
    """Grows or shrinks what is bright, or finds where that changes something.

    Args:
        kernel_size: The side of the square that is looked at around each pixel.
    """
    return OPERATIONS[operation](image, kernel_size)


@node("Image RGB to YUV", category="image/batch", id="ImageRGBToYUV", aliases=("luma", "chroma"))
def image_rgb_to_yuv(
    *, image: Image
) -> tuple[
    Annotated[Image, Port("IMAGE", "Y")], Annotated[Image, Port("IMAGE", "U")], Annotated[Image, Port("IMAGE", "V")]
]:
    """Takes a picture apart: how bright, how blue and how red it is."""
    y, u, v = (part[..., None].expand(-1, -1, -1, 3) for part in to_ycbcr(image).unbind(-1))
    return y, u, v


@node("Image YUV to RGB", category="image/batch", id="ImageYUVToRGB", aliases=("luma", "chroma"))
def image_yuv_to_rgb(*, Y: Image, U: Image, V: Image) -> Image:
    """Puts a picture together from how bright, how blue and how red it is."""
    return from_ycbcr(torch.stack([part[..., :3].mean(-1) for part in (Y, U, V)], dim=-1))


@node("Image Add Noise", category="image", id="ImageAddNoise", aliases=("grain",))
def image_add_noise(
    *, image: Image, seed: Annotated[int, Seed()] = 0, strength: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.5
) -> Image:
    """Adds noise to a picture.

    Args:
        seed: The number that the noise is made from.
        strength: The deviation of the noise, in parts of the whole brightness.
    """
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    return (image + strength * noise.to(image)).clamp(0, 1)


@node("Image Stitch", category="image/transform", id="ImageStitch", aliases=("concat", "join", "side by side"))
def image_stitch(
    *,
    image1: Image,
    direction: Annotated[Direction, Choice("right", "down", "left", "up")] = "right",
    match_image_size: bool = True,
    spacing_width: Annotated[int, Range(0, 1024, step=2)] = 0,
    spacing_color: Annotated[str, Choice(*COLOURS)] = "white",
    image2: Image | None = None,
) -> Image:
    """Puts a picture beside another.

    Args:
        direction: Where the second picture goes.
        match_image_size: Whether the second one gets the first one's height, or width; else the smaller is centred.
        spacing_width: How many pixels are left between them.
    """
    if image2 is None:
        return image1
    return stitched(image1, image2, direction, match=match_image_size, gap=spacing_width, colour=spacing_color)


@node("Resize and Pad Image", category="image/transform", id="ResizeAndPadImage", aliases=("letterbox", "fit"))
def resize_and_pad_image(
    *,
    image: Image,
    target_width: Side = 512,
    target_height: Side = 512,
    padding_color: Literal["white", "black"],
    interpolation: Annotated[str, Choice("area", "bicubic", "nearest-exact", "bilinear", "lanczos")],
) -> Image:
    """Brings a picture to a size without cutting anything off: what is left over gets a colour."""
    return fitted_on(image, target_width, target_height, padding_color, interpolation)

"""Nodes that read, show and save images."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from app.api import Choice, Context, ExtraInfo, FileIn, Image, Mask, Options, Port, PromptData, Range, Returned, node
from app.images.filters import blur, quantise, sharpen
from app.images.resize import IMAGE_METHODS, kept_proportions, resize, scaled_by

Side = Annotated[int, Range(1, 16384, step=1)]
OptionalSide = Annotated[int, Range(0, 16384, step=1)]
Place = Annotated[int, Range(0, 16384, step=1)]
BatchSize = Annotated[int, Range(1, 4096)]
Radius = Annotated[int, Range(1, 31, step=1)]
Colour = Annotated[int, Range(0, 0xFFFFFF, step=1), Options(display="color")]
# The editor asks for the names when somebody looks at them.
OutputPicture = Annotated[
    str,
    Port("COMBO"),
    Options(
        image_folder="output",
        image_upload=True,
        remote={"route": "/internal/files/output", "refresh_button": True, "control_after_refresh": "first"},
    ),
]
Method = Annotated[str, Choice(*IMAGE_METHODS)]


@node("Save Image", category="image", id="SaveImage", output_node=True, aliases=("output", "export", "png"))
def save_image(
    *,
    context: Context,
    images: Image,
    filename_prefix: str = "LatentLoom",
    prompt: PromptData = None,
    extra_pnginfo: ExtraInfo = None,
) -> Returned:
    """Saves images as PNG in the output folder, with the workflow inside.

    Args:
        images: The images to save.
        filename_prefix: How the file names begin; may hold a sub-folder, and %year%, %month%, %day%, %width%, %height%.
    """
    entries = context.files.save_images(images, filename_prefix, prompt=prompt, extra=extra_pnginfo)
    return Returned(ui={"images": entries})


@node("Preview Image", category="image", id="PreviewImage", output_node=True, aliases=("show", "view"))
def preview_image(
    *, context: Context, images: Image, prompt: PromptData = None, extra_pnginfo: ExtraInfo = None
) -> Returned:
    """Shows images without keeping them.

    Args:
        images: The images to show.
    """
    entries = context.files.save_images(images, "preview", kind="temp", prompt=prompt, extra=extra_pnginfo)
    return Returned(ui={"images": entries})


@node("Load Image", category="image", id="LoadImage", aliases=("input", "open", "upload"))
def load_image(*, context: Context, image: Annotated[str, FileIn("input", upload="image")]) -> tuple[Image, Mask]:
    """Loads a picture from the input folder. The mask is 1 where the picture is transparent.

    Args:
        image: The picture; drop a file on the node to upload it.
    """
    picture = context.files.load_image(image)
    return picture.image, picture.mask


@node(
    "Load Image (from Outputs)",
    category="image",
    id="LoadImageOutput",
    experimental=True,
    aliases=("open", "result", "again"),
)
def load_image_output(*, context: Context, image: OutputPicture) -> tuple[Image, Mask]:
    """Loads a picture that a workflow has made. The mask is 1 where the picture is transparent.

    Args:
        image: The picture, from the output folder; the newest come first.
    """
    picture = context.files.load_image(image, "output")
    return picture.image, picture.mask


@node("Empty Image", category="image", id="EmptyImage", aliases=("blank", "solid"))
def empty_image(*, width: Side = 512, height: Side = 512, batch_size: BatchSize = 1, color: Colour = 0) -> Image:
    """An image in one colour.

    Args:
        color: The colour as 0xRRGGBB.
    """
    channels = torch.tensor([color >> 16 & 255, color >> 8 & 255, color & 255]) / 255
    return channels.expand(batch_size, height, width, 3).clone()


@node("Get Image Size", category="image", id="GetImageSize", outputs=("width", "height", "batch_size"))
def get_image_size(*, image: Image) -> tuple[int, int, int]:
    """Tells the size of an image in pixels, and how many there are."""
    return image.shape[2], image.shape[1], image.shape[0]


@node("Invert Image", category="image", id="ImageInvert", aliases=("negative",))
def image_invert(*, image: Image) -> Image:
    """Makes the negative of an image."""
    return 1.0 - image


@node("Upscale Image", category="image/upscaling", id="ImageScale", aliases=("resize", "enlarge"))
def image_scale(
    *,
    image: Image,
    upscale_method: Method,
    width: OptionalSide = 512,
    height: OptionalSide = 512,
    crop: Literal["disabled", "center"],
) -> Image:
    """Resizes images. A side of 0 keeps the proportions.

    Args:
        crop: Whether to take the middle part where the proportions change, instead of stretching.
    """
    size = kept_proportions((image.shape[2], image.shape[1]), width, height)
    return _resized(image, size, upscale_method, crop=crop == "center")


@node("Upscale Image By", category="image/upscaling", id="ImageScaleBy", aliases=("resize", "enlarge"))
def image_scale_by(
    *, image: Image, upscale_method: Method, scale_by: Annotated[float, Range(0.01, 8.0, step=0.01)] = 1.0
) -> Image:
    """Resizes images by a factor."""
    return _resized(image, scaled_by((image.shape[2], image.shape[1]), scale_by), upscale_method)


@node("Scale Image to Max Dimension", category="image/upscaling", id="ImageScaleToMaxDimension", aliases=("resize",))
def image_scale_to_max_dimension(*, image: Image, upscale_method: Method, largest_size: OptionalSide = 512) -> Image:
    """Resizes images so that the longer side has this many pixels."""
    factor = largest_size / max(image.shape[1:3])
    return _resized(image, scaled_by((image.shape[2], image.shape[1]), factor), upscale_method)


@node("Scale Image to Total Pixels", category="image/upscaling", id="ImageScaleToTotalPixels", aliases=("resize",))
def image_scale_to_total_pixels(
    *, image: Image, upscale_method: Method, megapixels: Annotated[float, Range(0.01, 16.0, step=0.01)] = 1.0
) -> Image:
    """Resizes images to a number of pixels; a megapixel is 1024 × 1024."""
    factor = (megapixels * 1024 * 1024 / (image.shape[1] * image.shape[2])) ** 0.5
    return _resized(image, scaled_by((image.shape[2], image.shape[1]), factor), upscale_method)


@node("Image Crop", category="image/transform", id="ImageCrop")
def image_crop(*, image: Image, width: Side = 512, height: Side = 512, x: Place = 0, y: Place = 0) -> Image:
    """Cuts a rectangle out of an image, as far as it lies inside."""
    left, top = min(x, image.shape[2] - 1), min(y, image.shape[1] - 1)
    return image[:, top : top + height, left : left + width]


@node("Image Flip", category="image/transform", id="ImageFlip", aliases=("mirror",))
def image_flip(*, image: Image, flip_method: Literal["x-axis: vertically", "y-axis: horizontally"]) -> Image:
    """Mirrors an image, top to bottom or left to right."""
    return image.flip(1 if flip_method.startswith("x") else 2)


@node("Image Rotate", category="image/transform", id="ImageRotate", aliases=("turn",))
def image_rotate(*, image: Image, rotation: Literal["none", "90 degrees", "180 degrees", "270 degrees"]) -> Image:
    """Turns an image clockwise by quarters."""
    turns = 0 if rotation == "none" else int(rotation.split()[0]) // 90
    return image.rot90(turns, (2, 1))


@node("Image From Batch", category="image/batch", id="ImageFromBatch", aliases=("pick", "select"))
def image_from_batch(*, image: Image, batch_index: Annotated[int, Range(0, 4095)] = 0, length: BatchSize = 1) -> Image:
    """Takes some images out of a batch.

    Args:
        batch_index: The first one to take, counting from 0.
        length: How many to take.
    """
    start = min(batch_index, len(image) - 1)
    return image[start : start + length].clone()


@node("Repeat Image Batch", category="image/batch", id="RepeatImageBatch", aliases=("copies", "duplicate"))
def repeat_image_batch(*, image: Image, amount: BatchSize = 1) -> Image:
    """Repeats a batch of images."""
    return image.repeat(amount, 1, 1, 1)


@node("Rebatch Images", category="image/batch", id="RebatchImages", input_is_list=True, aliases=("split",))
def rebatch_images(
    *, images: Annotated[list[Any], Port("IMAGE")], batch_size: Annotated[Any, Port("INT"), Range(1, 4096)] = 1
) -> Annotated[list[Any], Port("IMAGE", is_list=True)]:
    """Splits batches into batches of one size."""
    return [part for image in images for part in image.split(batch_size[0])]


@node("Image Blur", category="image/postprocessing", id="ImageBlur", aliases=("gaussian", "soften"))
def image_blur(
    *, image: Image, blur_radius: Radius = 1, sigma: Annotated[float, Range(0.1, 10.0, step=0.1)] = 1.0
) -> Image:
    """Blurs an image with a Gaussian."""
    return blur(image, blur_radius, sigma)


@node("Image Sharpen", category="image/postprocessing", id="ImageSharpen", aliases=("unsharp mask",))
def image_sharpen(
    *,
    image: Image,
    sharpen_radius: Radius = 1,
    sigma: Annotated[float, Range(0.1, 10.0, step=0.01)] = 1.0,
    alpha: Annotated[float, Range(0.0, 5.0, step=0.01)] = 1.0,
) -> Image:
    """Sharpens an image by unsharp masking.

    Args:
        alpha: How much.
    """
    return sharpen(image, sharpen_radius, sigma, alpha)


@node("Image Quantize", category="image/postprocessing", id="ImageQuantize", aliases=("palette", "dither"))
def image_quantize(
    *,
    image: Image,
    colors: Annotated[int, Range(1, 256, step=1)] = 256,
    dither: Literal["none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16"],
) -> Image:
    """Draws an image with few colours."""
    return quantise(image, colors, dither)


def _resized(image: Tensor, size: tuple[int, int], method: str, *, crop: bool = False) -> Tensor:
    return resize(image.movedim(-1, 1), *size, method, crop=crop).movedim(1, -1)

"""Nodes that read, show and save images."""

from __future__ import annotations

from typing import Annotated

from app.api import Context, ExtraInfo, FileIn, Image, Mask, PromptData, Returned, node


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

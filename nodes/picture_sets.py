"""Nodes that read folders of pictures to train on."""

from __future__ import annotations

from typing import Annotated, Literal

from app.api import Clip, Conditioning, Context, FileIn, Image, Optionally, Range, node
from app.diffusion.conditioning.hooked import said_by
from app.images.picture_sets import caption_of, picture_set, pictures_in

Folder = Annotated[str, FileIn("input folders")]
Fitting = Annotated[Literal["None", "Stretch", "Crop", "Pad"], Optionally()]
OptionalSide = Annotated[int, Range(-1, 10000, step=1), Optionally()]


@node(
    "Load Image Dataset from Folder",
    category="loaders",
    id="LoadImageSetFromFolderNode",
    experimental=True,
    aliases=("batch", "training", "directory"),
)
def load_image_set(*, context: Context, folder: Folder, resize_method: Fitting = "None") -> Image:
    """Loads all pictures in a folder as one batch, in the size of the first.

    Args:
        folder: A folder in the input folder. Pictures in its folder "10_cats" count ten times.
        resize_method: What to do with pictures of other sizes; None refuses them.
    """
    return picture_set(pictures_in(context.files.folder(folder)), resize_method)


@node(
    "Load Image and Text Dataset from Folder",
    category="loaders",
    id="LoadImageTextSetFromFolderNode",
    experimental=True,
    aliases=("captions", "training", "directory"),
)
def load_image_text_set(
    *,
    context: Context,
    folder: Folder,
    clip: Clip,
    resize_method: Fitting = "None",
    width: OptionalSide = -1,
    height: OptionalSide = -1,
) -> tuple[Image, Conditioning]:
    """Loads all pictures in a folder, and what the text files beside them say of each.

    Args:
        folder: A folder in the input folder. Pictures in its folder "10_cats" count ten times.
        clip: The text encoder of the checkpoint to be trained.
        resize_method: What to do with pictures of other sizes; None refuses them.
        width: The width of all pictures; -1 for that of the first.
        height: The height of all pictures; -1 for that of the first.
    """
    files = pictures_in(context.files.folder(folder))
    pictures = picture_set(files, resize_method, width, height)
    captions = {file: caption_of(file) for file in files}
    with context.models.on_device(clip.model):
        said = {
            text: said_by(clip, lambda encoder, text=text: encoder.encode(text))
            for text in dict.fromkeys(captions.values())
        }
    return pictures, [entry for file in files for entry in said[captions[file]]]

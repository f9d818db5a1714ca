"""Nodes that say what is to be drawn where, by GLIGEN."""

from __future__ import annotations

from typing import Annotated

from app.api import Clip, Conditioning, Context, FileIn, InvalidRequest, Port, Range, Text, node
from app.diffusion.drawing import GRID
from app.diffusion.given import naming
from app.diffusion.guidance.boxes import OPTION
from app.diffusion.models.gligen import Gligen

GligenPort = Annotated[Gligen, Port("GLIGEN")]
Side = Annotated[int, Range(8, 16384, step=8)]
Place = Annotated[int, Range(0, 16384, step=8)]


@node("Load GLIGEN", category="loaders", id="GLIGENLoader", aliases=("boxes", "layout"))
def gligen_loader(*, context: Context, gligen_name: Annotated[str, FileIn("gligen")]) -> GligenPort:
    """Loads GLIGEN's layers, which let Stable Diffusion 1 draw texts in boxes.

    Args:
        gligen_name: The file to load, from models/gligen.
    """
    return context.models.gligen(gligen_name)


@node("GLIGEN Textbox Apply", category="conditioning/gligen", id="GLIGENTextBoxApply", aliases=("boxes", "layout"))
def gligen_text_box_apply(
    *,
    context: Context,
    conditioning_to: Conditioning,
    clip: Clip,
    gligen_textbox_model: GligenPort,
    text: Annotated[str, Text(multiline=True, dynamic=True)],
    width: Side = 64,
    height: Side = 64,
    x: Place = 0,
    y: Place = 0,
) -> Conditioning:
    """Says what is to be drawn in a box; several boxes one after the other.

    Args:
        text: What is to be there; the whole prompt should name it too.
        width: Width of the box in pixels.
        height: Height of the box in pixels.
        x: How far the box is from the left.
        y: How far the box is from the top.
    """
    with context.models.on_device(clip.model), naming("text"):
        pooled = clip.encode(text).pooled.cpu()
    wanted = gligen_textbox_model.config.text_width
    if pooled.shape[-1] != wanted:
        raise InvalidRequest(
            f"This text encoder's features are {pooled.shape[-1]} wide; GLIGEN reads {wanted}.",
            remedy="Use the CLIP of a Stable Diffusion 1 checkpoint.",
        )
    box = (pooled, height // GRID, width // GRID, y // GRID, x // GRID)
    return [
        [features, {**said, OPTION: ("position", gligen_textbox_model, [*said.get(OPTION, ("", None, ()))[2], box])}]
        for features, said in conditioning_to
    ]

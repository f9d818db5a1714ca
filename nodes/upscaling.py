"""Nodes that draw pictures larger by a network."""

from __future__ import annotations

from typing import Annotated

from app.api import Context, FileIn, Image, Port, node
from app.diffusion.upscaling import Upscaler, upscaled

UpscaleModel = Annotated[Upscaler, Port("UPSCALE_MODEL")]


@node("Load Upscale Model", category="loaders", id="UpscaleModelLoader", aliases=("esrgan", "ultrasharp"))
def load_upscale_model(*, context: Context, model_name: Annotated[str, FileIn("upscale_models")]) -> UpscaleModel:
    """Loads a network that draws pictures larger: ESRGAN and its kin.

    Args:
        model_name: The file to load, from models/upscale_models.
    """
    return context.models.upscaler(model_name)


@node("Upscale Image (using Model)", category="image/upscaling", id="ImageUpscaleWithModel", aliases=("enlarge",))
def upscale_with_model(*, context: Context, upscale_model: UpscaleModel, image: Image) -> Image:
    """Draws pictures larger, in tiles where they do not fit into memory; the model says how many times as large."""
    with context.models.on_device(upscale_model.model):
        return upscaled(upscale_model, image, context.progress)

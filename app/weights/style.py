"""Files of style models: Flux.1 Redux, and T2I-Adapter's style adapter."""

from __future__ import annotations

from pathlib import Path

import torch

from app.diffusion.models.style import Redux, StyleAdapter, StyleModel
from app.weights.blank import blank
from app.weights.fill import fill
from app.weights.kinds import refused
from app.weights.opening import open_weights
from app.weights.stored import Shapes, shapes_of


def load_style(path: Path, dtype: torch.dtype = torch.float32) -> StyleModel:
    """The style model in a file.

    Raises:
        Missing, UnusableFile: no file, a damaged or incomplete one.
        UnknownFamily: a file that holds none.
    """
    file = open_weights(path)
    shapes = shapes_of(file.tensors)
    with blank():
        model = _built(shapes)
    if model is None:
        raise refused(file.tensors, file.name, "a style model", "'redux_down.weight' or 'style_embedding'")
    fill(model, file.tensors, file.name, dtype=dtype)
    return model


def _built(shapes: Shapes) -> StyleModel | None:
    if "redux_up.weight" in shapes and "redux_down.weight" in shapes:
        inner, width = shapes["redux_up.weight"]
        return Redux(width, inner, shapes["redux_down.weight"][0])
    if "style_embedding" in shapes and "proj" in shapes:
        layers = {name.split(".")[1] for name in shapes if name.startswith("transformer_layes.")}
        width, context_width = shapes["proj"]
        return StyleAdapter(width, context_width, shapes["style_embedding"][1], len(layers))
    return None

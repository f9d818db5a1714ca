"""An adapter that was trained in this run, as the graph hands it on: its tensors by the names that files have."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from app.diffusion.model import DiffusionModel
from app.errors import InvalidRequest
from app.weights.adapters.adapter import Adapter
from app.weights.adapters.origin import origin_of_adapter
from app.weights.adapters.reading import changes_in

NAME = "the trained LoRA"
_STEPS = re.compile(r"_(\d{1,9})_steps_")


def adapted(model: DiffusionModel, tensors: Mapping[str, Tensor], strength: float) -> DiffusionModel:
    """The model with an adapter that is in memory; the one that is given stays as it is.

    Raises:
        InvalidRequest: no adapter, or one for another family.
    """
    changes = changes_in(tensors)
    if not changes.layers:
        raise InvalidRequest(
            "This is no LoRA: no tensor in it is part of one.", remedy="Link what Train LoRA gives.", input_name="lora"
        )
    if not strength:
        return model
    adapter = Adapter(NAME, changes, origin_of_adapter(tensors, {}), len(tensors))
    return adapter.applied(model, None, strength)[0]


def steps_said_by(name: str) -> int:
    """How many steps a file was trained for, as its name tells; 0 where it does not."""
    found = _STEPS.findall(name)
    return int(found[-1]) if found else 0

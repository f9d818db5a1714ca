"""Files of GLIGEN: only its own layers, or a whole U-Net with them."""

from __future__ import annotations

from pathlib import Path

import torch

from app.diffusion.models.gligen import Gligen, gligen_config
from app.weights.blank import blank
from app.weights.fill import fill
from app.weights.kinds import refused
from app.weights.opening import open_weights
from app.weights.stored import Stored, shapes_of


def load_gligen(path: Path, dtype: torch.dtype = torch.float32) -> Gligen:
    """GLIGEN's layers in a file.

    Raises:
        Missing, UnusableFile: no file, a damaged or incomplete one.
        UnknownFamily: a file that holds none.
    """
    file = open_weights(path)
    tensors = {name.removeprefix("model.diffusion_model."): stored for name, stored in file.tensors.items()}
    try:
        config = gligen_config(shapes_of(tensors))
    except KeyError:
        raise refused(
            file.tensors, file.name, "GLIGEN", "'position_net.linears.0.weight' and '….fuser.linear.weight'"
        ) from None
    ours: dict[str, Stored] = {}
    for name, stored in tensors.items():
        block, fuser, rest = name.partition(".fuser.")
        ours[f"gates.{block.replace('.', '/')}.{rest}" if fuser else name] = stored
    with blank():
        model = Gligen(config)
    fill(model, ours, file.name, dtype=dtype)
    return model

"""Files of hypernetworks, as the web UI of AUTOMATIC1111 trains them (.pt), or in safetensors with the same names.

Tensors are called `width.0.linear.0.weight`: the width of what is looked at, 0 for keys or 1 for values, the place of
the layer. Beside them stand activation_func, activate_output and is_layer_norm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.diffusion.guidance.hypernetworks import ACTIVATIONS, Hypernetwork, Layer
from app.errors import UnusableFile
from app.weights.fill import check_values
from app.weights.kinds import refused
from app.weights.opening import open_weights, words_of

# The oldest files count their layers without a dot.
_NAME = re.compile(r"(\d+)\.([01])\.linear(?:\.(\d+)|(\d+))\.(weight|bias)")


def load_hypernetwork(path: Path) -> Hypernetwork:
    """The hypernetwork in a file.

    Raises:
        Missing, UnusableFile: no file, a damaged one, or one with an activation that is not known.
        UnknownFamily: a file that holds none.
    """
    file = open_weights(path)
    found: dict[tuple[int, int], dict[int, dict[str, Tensor]]] = {}
    for name, stored in file.tensors.items():
        if told := _NAME.fullmatch(name):
            tensor = stored.read()
            check_values(tensor, torch.float32, file.name, name)
            layers = found.setdefault((int(told[1]), int(told[2])), {})
            layers.setdefault(int(told[3] or told[4]), {})[told[5]] = tensor.float()
    widths = {width for width, _ in found}
    if not widths or any((width, side) not in found for width in widths for side in (0, 1)):
        raise refused(file.tensors, file.name, "a hypernetwork", "'768.0.linear.0.weight' and the like")
    options = words_of(path)
    pairs = {
        width: (_layers(found[width, 0], options, file.name), _layers(found[width, 1], options, file.name))
        for width in sorted(widths)
    }
    return Hypernetwork(pairs)


def _layers(parts: Mapping[int, Mapping[str, Tensor]], options: Mapping[str, Any], name: str) -> list[Layer]:
    """Matrices are layers, what else has a weight normalises the one before it."""
    activation = str(options.get("activation_func") or "linear").lower()
    if activation not in ACTIVATIONS:
        raise UnusableFile(
            f"The hypernetwork {name!r} has the activation {activation!r}, which is not known.",
            remedy=f"Known are {', '.join(ACTIVATIONS)}.",
        )
    made: list[Layer] = []
    for _, part in sorted(parts.items()):
        if "weight" not in part or "bias" not in part:
            raise UnusableFile(f"A layer of {name!r} is not complete.", remedy="Use another copy of the file.")
        if part["weight"].ndim == 2:
            made.append(Layer(part["weight"], part["bias"], activation))
        elif made:
            last = made[-1]
            made[-1] = Layer(last.weight, last.bias, last.activation, (part["weight"], part["bias"]))
    if made and not _is_true(options.get("activate_output")):
        made[-1] = Layer(made[-1].weight, made[-1].bias, "linear", made[-1].norm)
    return made


def _is_true(value: Any) -> bool:
    return value is True or str(value).lower() == "true"

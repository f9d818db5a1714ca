"""What an adapter adds to the output of one layer while it is trained, beside the layer's own frozen weight.

It is added to the output and not to the weight, because small changes of a weight in bfloat16 would be rounded away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.adapters.change import Change, scale_of
from app.diffusion.adapters.hadamard import Hadamard
from app.diffusion.adapters.kronecker import Kronecker
from app.diffusion.adapters.low_rank import LowRank
from app.training.adapters.parts import WRITTEN
from app.weights.adapters.reading import change_of

Layer = nn.Linear | nn.Conv2d | nn.Conv1d
CONSTANT = "alpha"


class Branch(nn.Module):
    """The parts of one layer's adapter, float32 and trained but for α."""

    def __init__(self, parts: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.constants = {name: part.clone() for name, part in parts.items() if name == CONSTANT}
        self.trained = nn.ParameterDict(
            {name: nn.Parameter(part.detach().float().clone()) for name, part in parts.items() if name != CONSTANT}
        )

    def change(self) -> Change:
        """The change as its parts are now, and as it is read from a file that holds them."""
        change = change_of({**self.constants, **dict(self.trained.items())})
        assert change is not None
        return change

    def tensors(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Copies of the parts by the ends of their names in files."""
        found = {name: part.detach().to("cpu", dtype, copy=True) for name, part in self.trained.items()}
        found |= {name: part.float().cpu().clone() for name, part in self.constants.items()}
        return {WRITTEN.get(name, name): part for name, part in found.items()}

    def forward(self, layer: Layer, x: Tensor) -> Tensor:
        """What is to be added to the layer's output for x."""
        change = self.change()
        if isinstance(change, LowRank) and change.mid is None:
            return self._thin(change, layer, x)
        weight = layer.weight.float()
        adds = isinstance(change, LowRank | Hadamard | Kronecker)
        delta = change.delta(weight) if adds else change.applied(weight, 1.0) - weight
        return _through(layer, x, delta.to(x.dtype))

    def _thin(self, change: LowRank, layer: Layer, x: Tensor) -> Tensor:
        """B (A x): a fraction of the work of (B A) x."""
        kernel = layer.weight.shape[1:]
        down = change.down.reshape(change.rank, *kernel).to(x.dtype)
        up = change.up.reshape(-1, change.rank, *[1] * (len(kernel) - 1)).to(x.dtype)
        return _upwards(_through(layer, x, down), up) * scale_of(change.alpha, change.rank)


def added_by(branch: Branch, layer: Layer, given: Sequence[Tensor], output: Tensor) -> Tensor:
    """The output of a layer with its branch's."""
    return output + branch(layer, given[0])


def _through(layer: Layer, x: Tensor, weight: Tensor) -> Tensor:
    """As the layer, with another weight and no bias."""
    if isinstance(layer, nn.Linear):
        return F.linear(x, weight)
    if isinstance(layer, nn.Conv2d):
        return F.conv2d(x, weight, None, layer.stride, layer.padding, layer.dilation)
    return F.conv1d(x, weight, None, layer.stride, layer.padding, layer.dilation)


def _upwards(x: Tensor, weight: Tensor) -> Tensor:
    return F.linear(x, weight) if weight.ndim == 2 else F.conv2d(x, weight) if weight.ndim == 4 else F.conv1d(x, weight)

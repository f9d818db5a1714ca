"""Linear layers of the U-Net, where products of a few rows take less time than putting weights in order for them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from app.diffusion.kernels import packed
from app.diffusion.models.second_form import SecondForm


class Linear(SecondForm, nn.Linear):
    """(…, C) → (…, O).

    Its second form is packed: in bfloat16 0.75 of the time for ten rows, 0.95 for thousands; in float32 0.6 to 0.8
    where PyTorch's products are those of MKL on an AMD processor.
    """

    @property
    def second_form_bytes(self) -> int:
        """What the second form takes; 0 where it would not be used."""
        return packed_bytes(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        if not reads_packed(self, input, self.weight):
            return super().forward(input)
        return packed.multiply(input, self._packed(), self.bias)

    def added(self, input: Tensor, to: Tensor) -> Tensor:
        """What the layer makes of the input, added to what there is: (…, C), (…, O) → (…, O)."""
        if not reads_packed(self, input, self.weight):
            return super().added(input, to)
        return packed.multiply(input, self._packed(), self.bias, to=to)

    def _packed(self) -> Tensor:
        return self.second_form("packed", (self.weight,), lambda: packed.pack_rows(self.weight))


def reads_packed(layer: SecondForm, x: Tensor, weight: Tensor) -> bool:
    """Whether the layer multiplies x with the weight packed."""
    return layer.reads(x) and x.dtype == weight.dtype and packed.is_worth(weight)


def joined(layers: Sequence[Linear]) -> Linear:
    """One layer whose outputs are those of all the layers, in order: (…, C) → (…, O₁ + O₂ …)."""
    weight, bias = (torch.cat([layer.get_parameter(name) for layer in layers]) for name in ("weight", "bias"))
    made = Linear(weight.shape[1], weight.shape[0], device="meta").requires_grad_(False)
    made.load_state_dict({"weight": weight, "bias": bias}, assign=True)
    made.quick = all(layer.quick for layer in layers)
    return made


def packed_bytes(*weights: Tensor) -> int:
    """What packed weights take; 0 for those that are never read packed."""
    suits = packed.is_available() and all(
        weight.device.type in ("cpu", "meta") and packed.is_worth(weight) for weight in weights
    )
    return sum(weight.nbytes for weight in weights) if suits else 0

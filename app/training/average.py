"""An exponential moving average of a module's parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MovingAverage:
    """Parameters averaged over training; the decay warms up as min(decay, (1 + n) / (10 + n))."""

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.updates = 0
        self.values = {name: value.detach().clone() for name, value in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move a step towards the module's present parameters."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        current = [value.detach() for _, value in module.named_parameters()]
        for value, latest in zip(self.values.values(), current, strict=True):
            value.lerp_(latest, 1.0 - decay)

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Overwrite the module's parameters with the averages."""
        for name, value in module.named_parameters():
            value.copy_(self.values[name])

    def state(self) -> dict[str, Tensor]:
        """The averages by parameter name."""
        return dict(self.values)

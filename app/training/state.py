"""A training run on disk: weights, averages and optimiser in one safetensors file, so that a run can go on.

Nothing is pickled: tensors go by name and the counters into the header.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from torch import Tensor, nn

from app.training.average import MovingAverage
from app.weights.tensor_file import open_tensors, save_tensors


class RunState:
    """The parts of a run that must survive: a module, its average, its AdamW, and counters."""

    def __init__(self, module: nn.Module, average: MovingAverage, optimiser: torch.optim.AdamW) -> None:
        self.module = module
        self.average = average
        self.optimiser = optimiser

    def save(self, path: Path, counters: dict[str, float]) -> None:
        """Write the run; the old file stays whole until the new one is complete."""
        tensors = {f"module.{name}": value for name, value in self.module.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state().items()}
        for name, value in self.module.named_parameters():
            for slot, tensor in self.optimiser.state.get(value, {}).items():
                tensors[f"adam.{slot}.{name}"] = tensor
        counters = {**counters, "updates": self.average.updates}
        partial = path.with_suffix(".partial")
        save_tensors(
            {name: value.contiguous() for name, value in tensors.items()}, partial, {"run": json.dumps(counters)}
        )
        os.replace(partial, path)

    def load(self, path: Path) -> dict[str, float]:
        """Read what `save` wrote into module, average and optimiser; returns the counters."""
        with open_tensors(path) as file:
            counters = json.loads((file.metadata() or {})["run"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no iterator there)
        self.module.load_state_dict(_with_prefix(tensors, "module."))
        for name, value in _with_prefix(tensors, "average.").items():
            self.average.values[name].copy_(value)
        self.average.updates = int(counters["updates"])
        for name, value in self.module.named_parameters():
            slots: dict[str, Tensor | None] = {
                slot: tensors.get(f"adam.{slot}.{name}") for slot in ("step", "exp_avg", "exp_avg_sq")
            }
            self.optimiser.state[value] = {slot: tensor for slot, tensor in slots.items() if tensor is not None}
        return counters


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from app.memory.sizes import size_of


@dataclass
class Part:
    value: Any


def test_tensors_count_their_bytes_wherever_they_are() -> None:
    tensor = torch.zeros(1000)
    for value in (tensor, [tensor], {"samples": tensor}, Part(tensor), (None, {"a": [Part([tensor])]})):
        assert 4000 <= size_of(value) < 4500


def test_models_count_their_weights_once() -> None:
    module = nn.Linear(10, 10, bias=False)
    assert size_of([module, Part(module), module]) == 400


def test_a_tensor_that_is_shared_is_counted_once() -> None:
    tensor = torch.zeros(1000)
    assert size_of([tensor, tensor]) < 5000


def test_circles_end() -> None:
    circle: list[Any] = []
    circle.append(circle)
    assert size_of(circle) == 0

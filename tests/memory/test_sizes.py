from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from app.diffusion.adapters.change import Edit, Place
from app.diffusion.adapters.full import Difference
from app.diffusion.adapters.twin import settle, with_edits
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


def test_memory_behind_several_tensors_is_counted_once() -> None:
    tensor = torch.zeros(1000)
    assert size_of([tensor[:10]]) == 4000, "a part keeps the whole"
    assert size_of([tensor, tensor[:10], tensor.view(10, 100), tensor[::2]]) == 4000
    assert size_of([torch.zeros(1).expand(1000)]) == 4
    assert size_of([torch.zeros(10, device="meta")] * 2) == 40


def test_a_twin_counts_only_what_it_has_of_its_own() -> None:
    origin = nn.Sequential(nn.Linear(100, 100, bias=False), nn.Linear(100, 50, bias=False))
    twin = with_edits(origin, [Edit(Place("1.weight"), Difference(torch.ones(50, 100)))])
    settle(twin)
    assert size_of(origin) == 60_000
    assert size_of([origin, twin]) == 60_000 + 20_000


def test_circles_end() -> None:
    circle: list[Any] = []
    circle.append(circle)
    assert size_of(circle) == 0

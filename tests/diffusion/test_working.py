"""Work that waits for the first use of a network is done once, in order, by whatever uses it first."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from app.diffusion.adapters.change import Edit, Place
from app.diffusion.adapters.full import Difference
from app.diffusion.adapters.twin import with_edits
from app.diffusion.working import at_first_use, computes_in, is_ready, make_ready, working_dtype


def test_the_first_call_does_it_once() -> None:
    done: list[str] = []
    module = nn.Linear(2, 2)
    at_first_use(module, lambda _: done.append("first"))
    at_first_use(module, lambda _: done.append("second"))
    assert not done and not is_ready(module)
    for _ in range(2):
        module(torch.zeros(1, 2))
    assert done == ["first", "second"] and is_ready(module)


def test_parts_are_made_ready_with_the_whole() -> None:
    done: list[nn.Module] = []
    part = nn.Linear(2, 2)
    whole = nn.Sequential(nn.Identity(), part)
    at_first_use(part, done.append)
    assert not is_ready(whole)
    make_ready(whole)
    make_ready(whole)
    assert done == [part] and is_ready(whole)


def test_work_that_fails_is_tried_again() -> None:
    tries: list[int] = []

    def work(_: nn.Module) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise MemoryError("no room yet")

    module = nn.Linear(2, 2)
    at_first_use(module, work)
    with pytest.raises(MemoryError):
        make_ready(module)
    assert not is_ready(module)
    make_ready(module)
    assert len(tries) == 2 and is_ready(module)


def test_weights_that_are_made_within_inference_can_still_learn() -> None:
    module = nn.Linear(2, 2)

    def work(network: nn.Module) -> None:
        network.get_parameter("weight").data = torch.ones(2, 2)

    at_first_use(module, work)
    with torch.inference_mode():
        make_ready(module)
    module(torch.ones(1, 2)).sum().backward()
    assert module.weight.grad is not None


def test_the_working_precision_may_differ_from_the_weights() -> None:
    module = nn.Linear(2, 2)
    assert working_dtype(module) == torch.float32
    computes_in(module, torch.bfloat16)
    assert working_dtype(module) == torch.bfloat16
    computes_in(module, None)
    assert working_dtype(module) == torch.float32


def test_a_twin_comes_of_a_network_that_is_ready() -> None:
    def halve(network: nn.Module) -> None:
        network.half()

    module: Any = nn.Sequential(nn.Linear(2, 2))
    at_first_use(module, halve)
    twin = with_edits(module, [Edit(Place("0.weight"), Difference(torch.ones(2, 2)), 1.0)])
    assert module[0].weight.dtype == twin[0].weight.dtype == torch.float16
    assert twin[0].bias.data_ptr() == module[0].bias.data_ptr(), "what is not edited is in memory once"

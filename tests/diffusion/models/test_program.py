"""What a recording leaves of the operations, and that it still computes the same."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from app.diffusion.models.program import MOST_KEPT, Departure, Program
from app.diffusion.models.recording import Recording

Work = Callable[[Tensor], Tensor]


@pytest.fixture(autouse=True)
def reading() -> Any:
    with torch.inference_mode():
        yield


def recorded(work: Work, x: Tensor) -> Program:
    with (recording := Recording([x])):
        result = work(x)
    return recording.program(result)


def names(program: Program) -> list[str]:
    return [getattr(run, "__name__", "").split(".")[0] for run, *_ in program._operations]


def in_place(x: Tensor) -> Tensor:
    y = x * 1
    first, second = y.chunk(2, dim=1)
    first.mul_(2)
    second.transpose(0, 1)[0].add_(1)
    return y.t() + y.view(-1)[0]


def into_new_memory(x: Tensor) -> Tensor:
    out = torch.empty(4, 6)
    for row, place in zip(x, out.unbind(), strict=True):
        torch.mul(row, 2, out=place)
    out[:, 1:].sub_(out[:, :-1].clone())
    return out


def by_bits(x: Tensor) -> Tensor:
    bits = (x * 1).view(torch.int32)
    return bits.bitwise_and_(-256).view(torch.float32)[1:]


def back_and_forth(x: Tensor) -> Tensor:
    return x.flatten().view(4, 6).t().t().contiguous()


WORKS = [
    lambda x: x,
    lambda x: x[1:, ::2],
    lambda x: x.t().flatten() + 1,
    lambda x: x.unflatten(1, (2, 3)).transpose(1, 2).flatten(1).t() @ x[:, :3],
    lambda x: torch.cat([*x.chunk(3, dim=1)[::-1], x.to(torch.float32)], dim=1),
    lambda x: x.split(2)[1].expand(3, 2, 6).sum(0),
    in_place,
    into_new_memory,
    by_bits,
    back_and_forth,
]


@pytest.mark.parametrize("work", WORKS)
def test_it_computes_what_was_recorded(work: Work) -> None:
    program = recorded(work, torch.randn(4, 6))
    for _ in range(3):
        x = torch.randn(4, 6)
        kept = x.clone()
        assert torch.equal(program([x]), work(kept))
        assert torch.equal(x, kept)


def test_an_input_that_lies_inside_another_tensor() -> None:
    whole = torch.randn(3, 4, 6)
    program = recorded(lambda x: x.t() * 2, whole[1])
    other = torch.randn(3, 4, 6)
    assert torch.equal(program([other[1]]), other[1].t() * 2)


def test_views_are_taken_at_once_and_only_where_needed() -> None:
    def work(x: Tensor) -> Tensor:
        x.transpose(0, 1)[2:]  # nobody looks at it
        return torch.relu(x.view(2, 2, 6).transpose(0, 1)[1].t())

    assert names(recorded(work, torch.randn(4, 6))) == ["as_strided", "relu"]
    assert names(recorded(lambda x: torch.relu(x.view(24).view(4, 6)), torch.randn(4, 6))) == ["relu"]


def test_what_does_not_depend_on_the_input_is_computed_once() -> None:
    weight = torch.randn(6)

    def work(x: Tensor) -> Tensor:
        return x * torch.arange(6).to(torch.float32).exp().mul(weight)[None]

    program, x = recorded(work, torch.randn(4, 6)), torch.randn(4, 6)
    assert names(program) == ["mul"]
    assert torch.equal(program([x]), work(x))


def test_what_is_large_random_or_changed_is_computed_every_time() -> None:
    large = torch.ones(MOST_KEPT + 1)
    assert names(recorded(lambda x: x + (large * 2)[0], torch.ones(1))) == ["mul", "as_strided", "add"]
    drawn = recorded(lambda x: x + torch.bernoulli(torch.full((256,), 0.5)), torch.zeros(256))
    assert not torch.equal(drawn([torch.zeros(256)]), drawn([torch.zeros(256)]))

    def counted(x: Tensor) -> Tensor:
        ones = torch.ones(3)
        ones[1:].add_(1)
        return x + ones

    program = recorded(counted, torch.zeros(3))
    for _ in range(3):
        assert program([torch.zeros(3)]).tolist() == [1, 2, 2]


def test_nothing_that_was_computed_on_the_way_is_kept() -> None:
    seen: list[weakref.ref[Tensor]] = []

    def work(x: Tensor) -> Tensor:
        for y in (x * 2, x.t().contiguous(), x.view(-1)[3:].clone().view(3, 7)):
            seen.extend(map(weakref.ref, (y, y.t(), y.view(-1)[1:])))
            x = x + y.view(-1)[0]
        return x

    program = recorded(work, torch.randn(4, 6))
    assert not any(tensor() is not None for tensor in seen)
    program([torch.randn(4, 6)])
    assert not any(isinstance(value, Tensor) for value in program._constants)


def test_another_answer_to_python_is_a_departure() -> None:
    program = recorded(lambda x: x * 2 if torch.equal(x[0], x[1]) else x * 3, torch.ones(2, 2))
    assert torch.equal(program([torch.full((2, 2), 5.0)]), torch.full((2, 2), 10.0))
    with pytest.raises(Departure):
        program([torch.eye(2)])

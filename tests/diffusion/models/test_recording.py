"""A recorded call gives what the network itself gives, and is given up for whatever it was not recorded for."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.diffusion.layout import prepare
from app.diffusion.models.memo import made_of
from app.diffusion.models.recording import Recording, Repeated, can_repeat
from app.diffusion.models.unet import UNet, UNetConfig
from app.extend.facade.comfy.model_base import swapped

SMALL = UNetConfig(
    4, 4, 32, (1, 2), 1, (0, 1), heads=None, head_width=16, context_width=24, linear_projection=True, groups=8
)
Call = tuple[Tensor, Tensor, Tensor]


class Counting(nn.Module):
    """Counts how often Python runs it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.ran = 0

    def compute(self, x: Tensor, shift: Tensor | None) -> Tensor:
        self.ran += 1
        x = torch.cat([self.layer(x).relu_(), x], dim=1)
        first, second = x.chunk(2, dim=1)
        return first * 2 + second.clone().mul_(3) + (0 if shift is None else shift)


@pytest.fixture(autouse=True)
def reading() -> Any:
    with torch.inference_mode():
        yield


def network(dtype: torch.dtype = torch.bfloat16) -> UNet:
    torch.manual_seed(0)
    made = UNet(SMALL).requires_grad_(False).to(dtype)
    for value in made.parameters():
        value.normal_(std=0.2)
    prepare(made, 1 << 28)
    return made


def call(text: Tensor, step: int, size: int = 8) -> Call:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(1, 4, size, size, generator=generator).repeat(2, 1, 1, 1).to(text.dtype)
    return x, torch.full((2,), 900.0 - 50 * step), text


def text_of(dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.randn(2, 7, 24, generator=torch.Generator().manual_seed(1)).to(dtype)


def alone(made: UNet, x: Tensor, t: Tensor, text: Tensor) -> Tensor:
    """What a first call with a text of its own gives, which is never a recorded one."""
    return made(x, t, text.clone())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_steps_are_those_of_the_network(dtype: torch.dtype) -> None:
    made, text = network(dtype), text_of(dtype)
    for step in range(5):
        given = call(text, step)
        assert torch.equal(made(*given), alone(made, *given))
    assert made_of(made, text, (), Repeated).is_recorded


def test_python_runs_twice() -> None:
    made, repeated = Counting(), Repeated()
    for step in range(5):
        x, shift = torch.full((2, 3), float(step)), torch.tensor(0.5 * step)
        assert torch.equal(repeated.call(made, made.compute, [x, shift]), made.compute(x, shift))
    assert made.ran == 2 + 5


def test_halves_that_no_longer_agree_are_seen() -> None:
    made, text = network(), text_of()
    for step in range(3):
        made(*call(text, step))
    x, t, _ = call(text, 4)
    x[1] += 1
    assert torch.equal(made(x, t, text), alone(made, x, t, text))
    assert torch.equal(made(*call(text, 5)), alone(made, *call(text, 5)))


def test_another_size_and_changed_weights_are_seen() -> None:
    text = text_of()
    with torch.inference_mode(False), torch.no_grad():  # weights that count their changes
        made = network()
        for step in range(3):
            made(*call(text, step))
        small = call(text, 3, size=4)
        assert torch.equal(made(*small), alone(made, *small))
        for step in range(3):
            made(*call(text, step))
        made.get_parameter("out.2.bias").add_(1)
        assert torch.equal(made(*call(text, 4)), alone(made, *call(text, 4)))


def test_a_layer_that_somebody_looks_into_or_changes_is_run() -> None:
    made, text, seen = network(), text_of(), []
    handle = made.out[0].register_forward_hook(lambda *given: seen.append(1))
    for step in range(4):
        made(*call(text, step))
    assert len(seen) == 4
    handle.remove()
    for step in range(4):
        made(*call(text, step))
    assert made_of(made, text, (), Repeated).is_recorded
    made.out[0].register_forward_hook(lambda *given: seen.append(1))  # in the middle of a run
    made(*call(text, 5))
    assert len(seen) == 5
    made.out[0].__dict__["forward"] = lambda x: x * 0
    for step in range(4):
        assert torch.equal(made(*call(text, step)), alone(made, *call(text, step)))


def test_weights_that_are_worn_for_a_while_are_seen() -> None:
    made, text = network(), text_of()
    for step in range(3):
        made(*call(text, step))
    given, name = call(text, 3), "out.2.weight"
    before = made(*given)
    with swapped(made, {name: made.get_parameter(name) * 2}):
        for _ in range(3):
            assert torch.equal(made(*given), alone(made, *given))
        assert made_of(made, text, (), Repeated).is_recorded and not torch.equal(made(*given), before)
    assert torch.equal(made(*given), before)


def test_a_hook_on_another_network_changes_nothing() -> None:
    made, text = network(), text_of()
    for step in range(3):
        made(*call(text, step))
    record = made_of(made, text, (), Repeated)._program
    nn.Linear(1, 1).register_forward_hook(lambda *given: None)
    made(*call(text, 3))
    assert made_of(made, text, (), Repeated)._program is record is not None


def test_the_record_ends_with_the_text_and_holds_no_result() -> None:
    made, text = network(), text_of()
    results = [weakref.ref(made(*call(text, step))) for step in range(3)]
    gc.collect()
    assert not any(result() is not None for result in results)
    record = weakref.ref(made_of(made, text, (), Repeated))
    del text
    gc.collect()
    assert record() is None


def test_views_of_weights_are_not_taken_anew() -> None:
    weight, x = torch.randn(4, 2), torch.randn(3, 2)
    with (recording := Recording([x])):
        result = x @ weight.chunk(2)[0].t()
    program = recording.program(result)
    weight.zero_()  # a view sees it
    assert not program([x]).any()


def test_only_plain_tensors_without_gradients_are_recorded() -> None:
    assert can_repeat(torch.zeros(1))
    assert not can_repeat(nn.Parameter(torch.zeros(1), requires_grad=False))
    with torch.inference_mode(False):
        assert not can_repeat(torch.zeros(1))  # gradients are taken here


def test_a_network_that_looks_at_values_is_no_longer_recorded() -> None:
    ran: list[float] = []

    def compute(x: Tensor) -> Tensor:
        ran.append(float(x.sum()))
        return x * 2

    repeated = Repeated()
    for step in range(8):
        assert torch.equal(repeated.call(nn.Identity(), compute, [torch.full((2,), step)]), torch.full((2,), 2 * step))
    assert len(ran) == 8 and not repeated.is_recorded


def test_recording_does_not_load_pytorchs_compiler() -> None:
    assert not hasattr(Recording.__torch_dispatch__, "__wrapped__"), "PyTorch wraps it to load the compiler first"

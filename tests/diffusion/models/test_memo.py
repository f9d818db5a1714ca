"""What is kept of a prompt is made once, seen anew after a change, and gone with the prompt."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import Tensor, nn

from app.diffusion.models.attention import CrossAttention
from app.diffusion.models.memo import made_of


class Counted:
    """A layer, and how often its product was computed."""

    def __init__(self) -> None:
        self.layer = nn.Linear(3, 2, bias=False)
        self.times = 0

    def of(self, given: Tensor) -> Tensor:
        def make() -> Tensor:
            self.times += 1
            return self.layer(given)

        return made_of(self.layer, given, [self.layer.weight], make)


@pytest.fixture(params=[torch.no_grad, torch.inference_mode])
def reading(request: pytest.FixtureRequest) -> object:
    with request.param():
        yield


@pytest.mark.usefixtures("reading")
def test_the_same_tensor_is_looked_at_once() -> None:
    counted, first, second = Counted(), torch.randn(1, 3), torch.randn(1, 3)
    for given in (first, second, first, second):
        assert torch.equal(counted.of(given), counted.layer(given))
    assert counted.times == 2
    counted.of(first.clone())
    assert counted.times == 3  # equal, but another one


def test_changes_are_seen() -> None:
    counted, given = Counted(), torch.randn(1, 3)
    with torch.no_grad():
        before = counted.of(given).clone()
        counted.layer.weight.mul_(2)
        assert torch.allclose(counted.of(given), 2 * before)
        given.mul_(2)
        assert torch.allclose(counted.of(given), 4 * before)
        counted.layer.weight.data = torch.zeros(2, 3)
        assert not counted.of(given).any()
    assert counted.of(given).requires_grad  # for training it is made anew
    assert counted.times == 5


@pytest.mark.usefixtures("reading")
def test_nothing_outlives_what_it_was_made_of() -> None:
    counted, given = Counted(), torch.randn(1, 3)
    counted.of(given)
    memo = next(value for key, value in counted.layer.__dict__.items() if key.startswith("_for_"))
    assert len(memo) == 1
    del given
    gc.collect()
    assert len(memo) == 0


@pytest.mark.usefixtures("reading")
def test_attention_looks_at_a_text_once_and_at_its_pixels_every_time() -> None:
    layer = CrossAttention(8, 2, 4, 6)
    calls: list[int] = []
    layer.to_k.register_forward_hook(lambda *_: calls.append(1))
    text, pixels = torch.randn(1, 5, 6), torch.randn(1, 4, 8)
    results = [layer(pixels, text) for _ in range(3)]
    assert len(calls) == 1
    assert torch.equal(results[0], results[2])
    alone = CrossAttention(8, 2, 4)
    alone.to_k.register_forward_hook(lambda *_: calls.append(1))
    assert torch.equal(alone(pixels), alone(pixels))
    assert len(calls) == 3

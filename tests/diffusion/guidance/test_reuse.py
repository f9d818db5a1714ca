from __future__ import annotations

import logging
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from app.diffusion.guidance.compose import guided_denoiser, sided_denoiser
from app.diffusion.guidance.hooks import GuidanceHooks
from app.diffusion.guidance.reuse import Reuse, each_alone
from app.diffusion.parameterization.model_sampling import discrete, flow
from tests.diffusion.guidance.test_compose import Network, says

torch.manual_seed(1)
X = torch.randn(1, 4, 8, 8)


def level(value: float) -> Tensor:
    return torch.tensor(value)


class Model:
    """v = slope · u, on each of two sides; counts its calls."""

    def __init__(self, *slopes: float, sampling=None) -> None:
        self.slopes, self.calls, self.sampling = slopes or (0.5,), 0, sampling or flow()

    def __call__(self, x: Tensor, sigma: Tensor) -> list[Tensor]:
        self.calls += 1
        shown = self.sampling.scaled_input(x, sigma)
        return [x - sigma * slope * shown for slope in self.slopes]


def test_a_step_is_carried_on_with_what_v_was_ahead_of_u() -> None:
    model = Model(0.5, 0.25)
    ask = Reuse(flow(), 0.2, 1.0, 0.0).around(model)
    for sigma, factor in ((1.0, 1.0), (0.9, 0.9)):
        ask(X * factor, level(sigma))
    assert model.calls == 2
    # The rate is the slope, so v would change by 0.05 of 0.45: a ninth, which is allowed.
    first, second = ask(X * 0.8, level(0.8))
    assert model.calls == 2
    ahead = [(slope - 1) * 0.9 * X for slope in (0.5, 0.25)]
    assert torch.allclose(first, X * 0.8 - 0.8 * (X * 0.8 + ahead[0]), atol=1e-6)
    assert torch.allclose(second, X * 0.8 - 0.8 * (X * 0.8 + ahead[1]), atol=1e-6)


def test_errors_add_up_until_the_model_is_asked_again() -> None:
    model = Model(0.5)
    ask = Reuse(flow(), 0.3, 1.0, 0.0).around(model)
    asked = []
    for sigma in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5):
        before = model.calls
        ask(X * sigma, level(sigma))
        asked.append(model.calls > before)
    # At 0.8: 0.05 / 0.45. There v was taken for 0.35, so that at 0.7 the step is 0.05 / 0.35, and at 0.6 0.05 / 0.25.
    assert asked == [True, True, False, False, True, False]


def test_a_threshold_of_0_asks_every_time() -> None:
    model = Model()
    ask = Reuse(flow(), 0.0, 1.0, 0.0).around(model)
    for sigma in (1.0, 0.9, 0.8, 0.7):
        ask(X * sigma, level(sigma))
    assert model.calls == 4


def test_only_between_its_levels() -> None:
    model = Model()
    ask = Reuse(flow(), 100.0, 0.75, 0.55).around(model)
    asked = []
    for sigma in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5):
        before = model.calls
        ask(X * sigma, level(sigma))
        asked.append(model.calls > before)
    assert asked == [True, True, True, False, False, True]


def test_noise_predictions_are_carried_on_in_what_their_network_sees() -> None:
    sampling = discrete()
    model = Model(0.5, sampling=sampling)
    ask = Reuse(sampling, 100.0, 20.0, 0.0).around(model)
    for sigma in (10.0, 9.0):
        ask(X * sigma, level(sigma))
    shown = sampling.scaled_input(X * 9.0, level(9.0))
    (found,) = ask(X * 8.0, level(8.0))
    wanted = X * 8.0 - 8.0 * (sampling.scaled_input(X * 8.0, level(8.0)) + 0.5 * shown - shown)
    assert model.calls == 2
    assert torch.allclose(found, wanted, atol=1e-5)


def test_another_size_and_a_new_run_begin_anew() -> None:
    model = Model()
    plan = Reuse(flow(), 100.0, 1.0, 0.0)
    ask = plan.around(model)
    ask(X, level(1.0))
    ask(X, level(0.9))  # the same picture twice tells no rate
    ask(torch.zeros(1, 4, 4, 4), level(0.8))
    assert model.calls == 3
    plan.around(model)(X, level(1.0))
    assert model.calls == 4


def test_what_was_saved_is_told(caplog: pytest.LogCaptureFixture) -> None:
    ask = Reuse(flow(), 100.0, 1.0, 0.0, told=True).around(Model())
    with caplog.at_level(logging.INFO):
        for sigma in (1.0, 0.9, 0.8):
            ask(X * sigma, level(sigma))
    assert "1 of 3 calls saved" in caplog.text


@pytest.mark.parametrize("kind", ["reuse", "reuse_guided"])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_guidance_leaves_out_the_networks_call(kind: str, scale: float) -> None:
    network = Network()
    hooks = GuidanceHooks().with_hook(**{kind: Reuse(flow(), 100.0, 1.0, 0.0).around})
    asks = guided_denoiser(network, [says(1.0)], [says(0.5)], scale, hooks=hooks)
    for sigma in (1.0, 0.9, 0.8, 0.7):
        asks(X * sigma, level(sigma))
    assert len(network.calls) == 2
    sided = sided_denoiser(network, [[says(1.0)], [says(0.5)]], lambda said: said[0], hooks=hooks)
    for sigma in (1.0, 0.9, 0.8):
        guided, nothing = sided.split(X * sigma, level(sigma))  # pyright: ignore[reportAttributeAccessIssue]
        assert guided.shape == nothing.shape == X.shape
    assert len(network.calls) == 4


def test_both_kinds_agree_where_nothing_else_happens() -> None:
    found = []
    for kind in ("reuse", "reuse_guided"):
        hooks = GuidanceHooks().with_hook(**{kind: Reuse(flow(), 100.0, 1.0, 0.0).around})
        asks = guided_denoiser(Network(), [says(1.0)], [says(0.5)], 3.0, hooks=hooks)
        found.append([asks(X * sigma, level(sigma)) for sigma in (1.0, 0.9, 0.8)][-1])
    assert torch.allclose(*found, atol=1e-5)


class Bend(Model):
    """v = slope · u², so that the images' answers change by different rates."""

    def __call__(self, x: Tensor, sigma: Tensor) -> list[Tensor]:
        self.calls += 1
        return [x - sigma * slope * x.square() for slope in self.slopes]


def walked(model: Model, hooks: GuidanceHooks, x: Tensor) -> Tensor:
    """Euler's way over eight levels, along the first side."""
    (around,) = hooks.reuse
    ask = around(model)
    levels = torch.linspace(1.0, 0.2, 9)
    for sigma, sigma_next in pairwise(levels):
        x = x + (sigma_next - sigma) * (x - ask(x, sigma)[0]) / sigma
    return x


def test_each_image_may_carry_on_as_it_does_alone() -> None:
    hooks = GuidanceHooks().with_hook(reuse=Reuse(flow(), 0.3, 1.0, 0.0).around)
    x = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(2)) * torch.tensor([0.1, 0.5, 1.0]).view(
        3, 1, 1, 1
    )
    together, models = Bend(0.5, 0.25), [Bend(0.5, 0.25) for _ in range(3)]
    found = walked(together, each_alone(hooks), x)
    wanted = [walked(model, hooks, x[place : place + 1]) for place, model in enumerate(models)]
    assert torch.equal(found, torch.cat(wanted))
    calls = [model.calls for model in models]
    assert len(set(calls)) > 1, "each saves other steps"
    assert max(calls) <= together.calls < 8, "the batch is asked once, and not at all where all carry on"
    assert not torch.allclose(walked(Bend(0.5, 0.25), hooks, x), found, atol=1e-4), "or else by the batch's mean"


@pytest.mark.parametrize("kind", ["reuse", "reuse_guided"])
def test_both_kinds_of_hook_can_decide_for_each_image(kind: str) -> None:
    network = Network()
    hooks = each_alone(GuidanceHooks().with_hook(**{kind: Reuse(flow(), 100.0, 1.0, 0.0).around}))
    asks = guided_denoiser(network, [says(1.0)], [says(0.5)], 3.0, hooks=hooks)
    pair = torch.cat([X, 2 * X])
    answers = [asks(pair * sigma, level(sigma)) for sigma in (1.0, 0.9, 0.8)]
    assert len(network.calls) == 2
    assert all(answer.shape == pair.shape for answer in answers)

"""Pace, average, state and losses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from app.training.autoencoder import reconstruction_loss
from app.training.average import MovingAverage
from app.training.pace import Pace, cosine_rate
from app.training.state import RunState
from app.training.text_to_image import flow_times


def test_a_budget_goes_on_where_it_stopped() -> None:
    now = [0.0]
    pace = Pace(100.0, spent=30.0, clock=lambda: now[0])
    assert pace.fraction == pytest.approx(0.3)
    now[0] = 69.0
    assert not pace.over
    now[0] = 71.0
    assert pace.over
    assert pace.fraction == 1.0


def test_the_rate_warms_up_and_falls() -> None:
    assert cosine_rate(0.0, 0, peak=1.0, warm_up=100) == pytest.approx(0.01)
    assert cosine_rate(0.0, 1000, peak=1.0) == 1.0
    assert cosine_rate(0.5, 1000, peak=1.0, floor=0.0) == pytest.approx(0.5)
    assert cosine_rate(1.0, 1000, peak=1.0, floor=0.02) == pytest.approx(0.02)


def test_the_average_is_the_recurrence() -> None:
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(0.0)
    average = MovingAverage(layer, decay=0.9)
    expected = 0.0
    for n in range(5):
        layer.weight.data.fill_(float(n + 1))
        average.update(layer)
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * (n + 1)
    assert average.state()["weight"].item() == pytest.approx(expected, rel=1e-5)
    average.copy_to(layer)
    assert layer.weight.item() == pytest.approx(expected, rel=1e-5)


def make_run(seed: int) -> tuple[nn.Module, torch.optim.AdamW, RunState]:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    optimiser = torch.optim.AdamW(module.parameters(), lr=0.05, fused=True)
    return module, optimiser, RunState(module, MovingAverage(module, 0.9), optimiser)


def train(module: nn.Module, optimiser: torch.optim.AdamW, state: RunState, steps: range) -> None:
    for step in steps:
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        loss = (module(x) - x.sum(1, keepdim=True)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        state.average.update(module)


def test_a_resumed_run_equals_one_that_never_stopped(tmp_path: Path) -> None:
    module, optimiser, state = make_run(1)
    train(module, optimiser, state, range(4))
    state.save(tmp_path / "run.safetensors", {"step": 4, "seconds": 1.5})
    train(module, optimiser, state, range(4, 8))
    again, other, resumed = make_run(2)
    counters = resumed.load(tmp_path / "run.safetensors")
    train(again, other, resumed, range(4, 8))
    assert counters["step"] == 4
    assert counters["seconds"] == 1.5
    for ours, theirs in zip(module.parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    for name, value in state.average.state().items():
        assert torch.equal(value, resumed.average.values[name])


def test_the_reconstruction_loss_is_its_formula() -> None:
    output, target = torch.tensor([0.0, 2.0]), torch.tensor([1.0, 0.0])
    assert reconstruction_loss(output, target, 2.0).item() == pytest.approx(1.5 + 2.0 * 2.5)


def test_times_are_logit_normal_with_a_uniform_share() -> None:
    torch.manual_seed(0)
    pure = flow_times(40_000, 0.0, 0.5)
    assert pure.logit().mean().item() == pytest.approx(0.5, abs=0.03)
    assert pure.logit().std().item() == pytest.approx(1.0, abs=0.03)
    uniform = flow_times(40_000, 1.0, 0.5)
    assert uniform.std().item() == pytest.approx(12**-0.5, abs=0.01)

from __future__ import annotations

from typing import Any

import pytest
import torch

from app.diffusion.schedules.catalogue import SCHEDULES, sigmas

MODEL_FREE = [
    "KarrasScheduler",
    "ExponentialScheduler",
    "PolyexponentialScheduler",
    "LaplaceScheduler",
    "VPScheduler",
    "AlignYourStepsScheduler",
]
ON_MODEL = ["BasicScheduler", "BetaSamplingScheduler", "SDTurboScheduler"]


@pytest.fixture
def model(bench: Any) -> Any:
    return bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[0]


@pytest.mark.parametrize("node_id", [*MODEL_FREE, *ON_MODEL])
def test_levels_fall_to_zero(bench: Any, model: Any, node_id: str) -> None:
    given = {"model": model} if node_id in ON_MODEL else {}
    levels = bench(node_id, **given, steps=5)
    assert len(levels) == 6
    assert bool((levels.diff() < 0).all())
    assert levels[-1] == 0


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_of_ksampler(bench: Any, model: Any, schedule: str) -> None:
    levels = bench("BasicScheduler", model=model, scheduler=schedule, steps=6, denoise=0.5)
    assert torch.equal(levels, sigmas(schedule, model.sampling, 6, denoise=0.5))


LEVELS = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.0])


def test_levels_are_split(bench: Any) -> None:
    high, low = bench("SplitSigmas", sigmas=LEVELS, step=2)
    assert high.tolist() == [8, 4, 2]
    assert low.tolist() == [2, 1, 0]
    high, low = bench("SplitSigmasDenoise", sigmas=LEVELS, denoise=0.25)
    assert low.tolist() == [1, 0]


def test_levels_are_changed(bench: Any) -> None:
    flipped = bench("FlipSigmas", sigmas=LEVELS)
    assert flipped[0] > 0
    assert flipped[1:].tolist() == [1, 2, 4, 8]
    assert bench("SetFirstSigma", sigmas=LEVELS, sigma=9.0).tolist() == [9, 4, 2, 1, 0]
    assert bench("ExtendIntermediateSigmas", sigmas=LEVELS, end_at_sigma=4.0).tolist() == [8, 6, 4, 3, 2, 1, 0]
    assert LEVELS.tolist() == [8, 4, 2, 1, 0], "what was given stays as it was"


def test_a_part_of_the_way_has_a_level(bench: Any, model: Any) -> None:
    assert bench("SamplingPercentToSigma", model=model, sampling_percent=0.5) == pytest.approx(0.5, abs=0.01)
    assert bench("SamplingPercentToSigma", model=model, sampling_percent=1.0) == 0
    actual = bench("SamplingPercentToSigma", model=model, sampling_percent=1.0, return_actual_sigma=True)
    assert actual == pytest.approx(model.sampling.sigma_min)

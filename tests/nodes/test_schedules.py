from __future__ import annotations

from typing import Any

import pytest
import torch

from app.diffusion.schedules.catalogue import SCHEDULES, sigmas
from app.diffusion.schedules.gits import gits
from app.errors import InvalidRequest

MODEL_FREE = [
    "KarrasScheduler",
    "ExponentialScheduler",
    "PolyexponentialScheduler",
    "LaplaceScheduler",
    "VPScheduler",
    "AlignYourStepsScheduler",
    "GITSScheduler",
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


def test_gits_levels_are_chosen_by_the_coefficient(bench: Any) -> None:
    assert torch.equal(bench("GITSScheduler", coeff=1.35, steps=6, denoise=0.5), gits(1.35, 6)[-4:])
    assert torch.equal(bench("GITSScheduler"), gits(1.2, 10))
    assert len(bench("GITSScheduler", denoise=0.0)) == 0


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


def test_levels_can_be_listed(bench: Any) -> None:
    assert bench("ManualSigmas", sigmas="14.5, 3 0.5,0").tolist() == [14.5, 3.0, 0.5, 0.0]
    for text, said in (("", "no finite"), ("1, x", "no list"), ("1, 2", "do not fall"), ("1, -1", "do not fall")):
        with pytest.raises(InvalidRequest, match=said):
            bench("ManualSigmas", sigmas=text)


def test_times_become_levels(bench: Any) -> None:
    model = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[0]
    model = bench("ModelSamplingDiscrete", model=model, sampling="eps")
    levels = bench("LoomTimesteps", model=model, timesteps="999, 500, 0")
    assert torch.allclose(levels[:3], model.sampling.sigmas[[999, 500, 0]])
    assert levels[3] == 0


def test_published_steps_of_flow_models(bench: Any) -> None:
    levels = bench("OptimalStepsScheduler", model_type="FLUX", steps=10)
    assert levels.tolist() == pytest.approx(
        [0.9968, 0.9886, 0.9819, 0.975, 0.966, 0.9471, 0.9158, 0.8287, 0.5512, 0.2808, 0]
    )
    assert len(bench("OptimalStepsScheduler", model_type="Chroma", steps=20, denoise=0.5)) == 11
    assert (bench("OptimalStepsScheduler", model_type="Wan", steps=37).diff() < 0).all()


def test_larger_latents_stay_noisy_for_longer(bench: Any) -> None:
    small, large = (
        bench("LTXVScheduler", steps=10, latent={"samples": torch.zeros(1, 4, side, side)}) for side in (32, 64)
    )
    assert (large[1:-2] > small[1:-2]).all()
    assert large[-2].item() == pytest.approx(0.1)
    assert torch.equal(bench("LTXVScheduler", steps=10), large)

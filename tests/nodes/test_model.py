from __future__ import annotations

from typing import Any

import pytest
import torch


@pytest.fixture
def model(bench: Any) -> Any:
    return bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[0]


def middle(model: Any) -> float:
    """The noise level at half of the way."""
    return model.sampling.percent_to_sigma(0.5)


@pytest.mark.parametrize("node_id", ["ModelSamplingSD3", "ModelSamplingAuraFlow"])
def test_a_shift_moves_the_levels_up(bench: Any, model: Any, node_id: str) -> None:
    shifted = bench(node_id, model=model, shift=3.0)
    assert middle(shifted) == pytest.approx(0.75, abs=0.01)
    assert middle(bench(node_id, model=model, shift=1.0)) == pytest.approx(0.5, abs=0.01)
    assert middle(model) == pytest.approx(0.5, abs=0.01), "the model that was given stays as it was"
    assert shifted.network is model.network


def test_the_two_differ_in_the_time_that_the_network_is_told(bench: Any, model: Any) -> None:
    level = torch.tensor(0.5)
    assert bench("ModelSamplingSD3", model=model).sampling.timestep(level) == pytest.approx(500, rel=0.01)
    assert bench("ModelSamplingAuraFlow", model=model).sampling.timestep(level) == pytest.approx(0.5, rel=0.01)


def test_larger_pictures_are_shifted_more(bench: Any, model: Any) -> None:
    small, large = (bench("ModelSamplingFlux", model=model, width=side, height=side) for side in (256, 1024))
    assert middle(large) > middle(small) > 0.5

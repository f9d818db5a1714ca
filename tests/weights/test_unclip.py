"""Stable Diffusion 2.1 unCLIP: what its checkpoints hold beside the network."""

from __future__ import annotations

import torch

from app.diffusion.unclip import UnclipInputs
from app.weights.checkpoint import checkpoint_of
from app.weights.stored import held
from tests.weights.paper import checkpoint


def test_the_spread_of_pictures_comes_from_the_file() -> None:
    statistics = {
        "noise_augmentor.data_mean": torch.full((1, 768), 0.25),
        "noise_augmentor.data_std": torch.full((1, 768), 3.0),
    }
    built = checkpoint_of(checkpoint("sd2-unclip-l", held(statistics)), torch.float16)
    assert isinstance(built.model.inputs, UnclipInputs)
    assert float(built.model.inputs.augmentor.mean[0, 5]) == 0.25
    assert built.model.inputs.augmentor.deviation.shape == (1, 768)


def test_other_models_take_no_pictures() -> None:
    assert not isinstance(checkpoint_of(checkpoint("sd2"), torch.float16).model.inputs, UnclipInputs)

"""Blank networks have names and shapes and nothing else."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from app.weights.blank import blank

ROOT = Path(__file__).parents[2]


def test_a_blank_module_has_shapes_and_no_storage() -> None:
    with blank():
        module = nn.Sequential(nn.Linear(3, 4), nn.Embedding(5, 6), nn.GroupNorm(2, 4), nn.Conv2d(3, 4, 3))
    plain = nn.Sequential(nn.Linear(3, 4), nn.Embedding(5, 6), nn.GroupNorm(2, 4), nn.Conv2d(3, 4, 3))
    assert {k: v.shape for k, v in module.state_dict().items()} == {k: v.shape for k, v in plain.state_dict().items()}
    assert all(value.is_meta for value in module.state_dict().values())


def test_outside_weights_are_made_as_ever() -> None:
    with blank():
        pass
    assert nn.Linear(3, 4).weight.std() > 0
    assert not torch.zeros(1).is_meta


def test_building_does_not_import_the_compiler() -> None:
    code = "import sys; from app.weights.blank import blank; from torch import nn\nwith blank(): nn.Embedding(4, 4)\n"
    done = subprocess.run([sys.executable, "-c", code + "sys.exit('torch._dynamo' in sys.modules)"], cwd=ROOT)
    assert done.returncode == 0


def test_rubbish_is_collected_again_afterwards() -> None:
    before = gc.isenabled()
    try:
        for wanted in (True, False):
            (gc.enable if wanted else gc.disable)()
            with blank():
                assert not gc.isenabled()
            assert gc.isenabled() is wanted
    finally:
        (gc.enable if before else gc.disable)()

from __future__ import annotations

import pytest
import torch

from app.errors import InvalidRequest
from app.training.adapters.outcome import adapted, steps_said_by
from app.weights.checkpoint import Checkpoint

LAYER = "diffusion_model.out.2"


def test_tensors_of_the_run_change_a_model_as_a_file_would(tiny: Checkpoint) -> None:
    change = {f"{LAYER}.diff": torch.ones(4, 16, 3, 3)}
    model = adapted(tiny.model, change, 0.5)
    x = torch.randn(1, 16, 4, 4)
    plain, changed = (each.network.get_submodule("out.2") for each in (tiny.model, model))
    model.network.state_dict()  # a twin takes its changes at the first use
    torch.testing.assert_close(changed(x) - plain(x), torch.conv2d(x, torch.full((4, 16, 3, 3), 0.5), padding=1))
    assert adapted(tiny.model, change, 0.0) is tiny.model


def test_what_is_no_lora_is_told(tiny: Checkpoint) -> None:
    with pytest.raises(InvalidRequest, match="no LoRA"):
        adapted(tiny.model, {"weight": torch.zeros(1)}, 1.0)
    with pytest.raises(InvalidRequest, match="trained LoRA"):
        adapted(tiny.model, {f"{LAYER}.diff": torch.zeros(3)}, 1.0)


@pytest.mark.parametrize(
    ("name", "steps"),
    [("cats_120_steps_00001_.safetensors", 120), ("a/b_16_steps_00002_.safetensors", 16), ("style.safetensors", 0)],
)
def test_the_name_tells_the_steps(name: str, steps: int) -> None:
    assert steps_said_by(name) == steps

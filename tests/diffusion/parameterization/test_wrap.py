from __future__ import annotations

import torch

from app.diffusion.parameterization import X0, denoiser_of, discrete, flow
from app.diffusion.parameterization.wrap import cast


class Recorder:
    def __init__(self, output: float = 0.0):
        self.output, self.calls = output, []

    def __call__(self, x, timestep, **conditions):
        self.calls.append((x, timestep, conditions))
        return torch.full_like(x, self.output)


def test_the_network_sees_its_own_precision_and_nobody_else_does():
    network = Recorder()
    x, context = torch.ones(2, 4, 3, 3), torch.ones(2, 5, 8)
    labels = torch.tensor([1, 2])
    denoised = denoiser_of(network, discrete(), torch.bfloat16)(x, torch.tensor(2.0), context=context, labels=labels)
    shown, timestep, conditions = network.calls[0]
    assert shown.dtype == conditions["context"].dtype == torch.bfloat16
    assert conditions["labels"].dtype == torch.int64
    assert timestep.dtype == denoised.dtype == torch.float32
    assert timestep.shape == (2,)


def test_a_level_per_item():
    network = Recorder(1.0)
    sampling = discrete()
    x, sigma = torch.zeros(2, 4, 3, 3), sampling.sigmas[[100, 900]]
    denoised = denoiser_of(network, sampling)(x, sigma)
    assert network.calls[0][1].tolist() == [100, 900]
    assert torch.allclose(denoised[:, 0, 0, 0], -sigma)


def test_flow_time_is_scaled():
    network = Recorder()
    denoiser_of(network, flow(3.0))(torch.zeros(1, 4, 2, 2), torch.tensor(0.5))
    assert network.calls[0][1].tolist() == [500]


def test_float64_goes_through():
    x = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    assert denoiser_of(Recorder(0.3), discrete(X0), torch.float64)(x, torch.tensor(1.0)).dtype == torch.float64


def test_cast_looks_into_containers():
    done = cast({"a": [torch.ones(1), 3], "b": None}, torch.device("cpu"), torch.float16)
    assert done["a"][0].dtype == torch.float16
    assert done["a"][1] == 3
    assert done["b"] is None

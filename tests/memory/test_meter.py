from __future__ import annotations

import subprocess
import sys

import torch

from app.memory.meter import meter_for

LARGE = """
import torch
from app.memory.meter import meter_for

start = meter_for(torch.device("cpu"))
for attempt in range(3):
    end = start()
    tensor = torch.ones(64 << 20)  # 256 MiB: larger than what the allocator keeps back
    del tensor
    print(end())
"""


def test_a_large_tensor_shows_even_when_it_is_gone() -> None:
    # A process of its own: what earlier tests give back while this one measures would be taken off its peak.
    run = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)
    took = [int(line) for line in run.stdout.split()]
    assert len(took) == 3
    assert all(one >= (128 << 20 if sys.platform == "linux" else 0) for one in took)


def test_little_work_takes_little() -> None:
    end = meter_for(torch.device("cpu"))()
    assert 0 <= end() < 16 << 20

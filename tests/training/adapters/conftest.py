from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from app.weights.checkpoint import Checkpoint, load_checkpoint


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks are quickest so, and sums do not depend on how many cores there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny(tiny_file: Path) -> Checkpoint:
    """The tiny model; training must leave it as it is."""
    return load_checkpoint(tiny_file)

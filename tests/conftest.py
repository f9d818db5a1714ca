"""What many tests share: settings, a tiny model, and an installation that has it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from app.settings import DirectorySettings, Settings

# A busy machine is no failure: only what an example does counts, not how long it took.
settings.register_profile("any machine", deadline=None, max_examples=60)
settings.load_profile("any machine")

TINY = "tiny.safetensors"


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights: four latent channels, eight pixels per latent pixel, flow matching."""
    # Imported here, so that tests which need no tensors start at once.
    from tests.tiny import save_tiny_checkpoint

    path = tmp_path_factory.mktemp("weights") / TINY
    save_tiny_checkpoint(path)
    return path


@pytest.fixture
def installation(tmp_path: Path, tiny_file: Path) -> Settings:
    """Settings of an installation below `tmp_path` that has the tiny checkpoint."""
    base = tmp_path / "base"
    (base / "models" / "checkpoints").mkdir(parents=True)
    shutil.copy(tiny_file, base / "models" / "checkpoints" / TINY)
    return Settings(
        command="run",
        directories=DirectorySettings(
            base=base,
            input=base / "input",
            output=base / "output",
            temp=base / "temp",
            user=base / "user",
            custom_nodes=base / "custom_nodes",
            models=(base / "models",),
        ),
    )

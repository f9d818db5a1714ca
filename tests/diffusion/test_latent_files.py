from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from app.diffusion.latent_files import OLD_SCALE, SAMPLES, read_latent, write_latent
from app.errors import UnusableFile

LATENT = torch.arange(16.0).reshape(1, 4, 2, 2)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_latent(tmp_path / "a.latent", LATENT.half(), {"prompt": "{}"})
    assert torch.equal(read_latent(tmp_path / "a.latent"), LATENT)


def test_files_without_the_mark_are_of_the_old_scale(tmp_path: Path) -> None:
    save_file({SAMPLES: LATENT * OLD_SCALE}, tmp_path / "old.latent")
    assert torch.allclose(read_latent(tmp_path / "old.latent"), LATENT)


def test_other_files_are_refused(tmp_path: Path) -> None:
    save_file({"weight": LATENT}, tmp_path / "other.latent")
    with pytest.raises(UnusableFile, match="holds no latent"):
        read_latent(tmp_path / "other.latent")
    with pytest.raises(UnusableFile, match="cannot be read"):
        read_latent(tmp_path / "missing.latent")

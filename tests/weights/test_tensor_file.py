"""Named tensors go to a file and come back, with the texts of the header."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from app.weights.tensor_file import open_tensors, save_tensors


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors({"x": torch.arange(6.0).view(2, 3), "y": torch.ones(1)}, path, {"said": "here"})
    with open_tensors(path) as file:
        assert sorted(file.keys()) == ["x", "y"]
        assert file.metadata() == {"said": "here"}
        assert torch.equal(file.get_tensor("x"), torch.arange(6.0).view(2, 3))


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"no tensors at all")
    with pytest.raises(SafetensorError):
        open_tensors(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_tensors(tmp_path / "none.safetensors")

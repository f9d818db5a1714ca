"""Embeddings by name: with and without ending and folder, in both formats, and never by running a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from app.context.embeddings import LARGEST, EmbeddingFolder
from app.diffusion.conditioning.embeddings import vectors_for
from app.errors import UnusableFile
from app.store.folders import Folders


@pytest.fixture
def embeddings(tmp_path: Path) -> EmbeddingFolder:
    folder = tmp_path / "embeddings"
    (folder / "styles").mkdir(parents=True)
    save_file({"emb_params": torch.ones(2, 4)}, folder / "mine.safetensors")
    save_file({"clip_l": torch.ones(1, 4), "clip_g": torch.ones(1, 6)}, folder / "styles" / "both.safetensors")
    torch.save({"string_to_param": {"*": torch.full((3, 4), 3.0)}, "name": "old"}, folder / "old.pt")
    torch.save([{"a": torch.ones(1, 4)}, {"b": torch.ones(2, 4)}], folder / "list.bin")
    folders = Folders(tmp_path / "input", tmp_path / "output", tmp_path / "temp", tmp_path / "user")
    folders.add_models_folder("embeddings", folder)
    return EmbeddingFolder(folders)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("mine", 2),
        ("mine.safetensors", 2),
        ("styles/both", 1),
        ("styles\\both.safetensors", 1),
        ("both", 1),
        ("old", 3),
        ("old.pt", 3),
        ("list", 3),
    ],
)
def test_a_file_is_found_by_its_name(embeddings: EmbeddingFolder, name: str, count: int) -> None:
    tensors = embeddings(name)
    assert tensors is not None
    vectors = vectors_for(tensors, "l")
    assert vectors is not None
    assert vectors.shape == (count, 4)


@pytest.mark.parametrize("name", ["", "other", "mine.ckpt", "../mine", "/etc/passwd", "styles", "min"])
def test_there_is_no_other(embeddings: EmbeddingFolder, name: str) -> None:
    assert embeddings(name) is None


def test_a_damaged_file_is_named(embeddings: EmbeddingFolder, tmp_path: Path) -> None:
    (tmp_path / "embeddings" / "mine.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(UnusableFile, match=r"mine\.safetensors"):
        embeddings("mine")


def test_a_file_that_is_far_too_large_is_left_out(
    embeddings: EmbeddingFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (tmp_path / "embeddings" / "mine.safetensors").open("ab") as file:
        file.truncate(LARGEST + 1)
    assert embeddings("mine") is None
    assert "mine.safetensors" in caplog.text


def test_values_that_are_not_numbers_are_named(embeddings: EmbeddingFolder, tmp_path: Path) -> None:
    save_file({"emb_params": torch.full((2, 4), float("nan"))}, tmp_path / "embeddings" / "mine.safetensors")
    with pytest.raises(UnusableFile, match=r"'mine\.safetensors' the tensor 'emb_params' holds values"):
        embeddings("mine")

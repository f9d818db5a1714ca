"""Damaged and foreign files are told apart, in words that say what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from app.errors import Missing, UnusableFile
from app.weights.header import read_header


def written(path: Path, header: bytes, body: bytes = b"", length: int | None = None) -> Path:
    path.write_bytes((len(header) if length is None else length).to_bytes(8, "little") + header + body)
    return path


def test_a_real_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"x": torch.zeros(2, 3, dtype=torch.float16), "y": torch.ones(4)}, path, {"kind": "test"})
    header = read_header(path)
    assert header.metadata == {"kind": "test"}
    assert header.tensors["x"].shape == (2, 3)
    assert header.tensors["x"].dtype == "F16"


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="ghost"):
        read_header(tmp_path / "ghost.safetensors")


FOREIGN = {
    "empty": (b"", b"", 0),
    "text": (b"hello, I am no model", b"", None),
    "list": (b"[1, 2]", b"", None),
    "number": (b"7", b"", None),
    "tensor is a number": (b'{"x": 7}', b"", None),
    "no offsets": (b'{"x": {"dtype": "F32", "shape": [1]}}', b"", None),
    "offsets swapped": (b'{"x": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}', b"0000", None),
    "huge length": (b"{}", b"", 2**63),
    "metadata is a list": (b'{"__metadata__": [1]}', b"", None),
    "deep": (b"[" * 100_000, b"", None),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files(tmp_path: Path, name: str) -> None:
    header, body, length = FOREIGN[name]
    with pytest.raises(UnusableFile) as caught:
        read_header(written(tmp_path / "bad.safetensors", header, body, length))
    assert "bad.safetensors" in caught.value.message
    assert caught.value.remedy


def test_a_file_cut_short(tmp_path: Path) -> None:
    header = json.dumps({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    with pytest.raises(UnusableFile, match="5 bytes are missing"):
        read_header(written(tmp_path / "short.safetensors", header, b"123"))


@pytest.mark.parametrize("size", range(12))
def test_tiny_files(tmp_path: Path, size: int) -> None:
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(b"\0" * size)
    with pytest.raises(UnusableFile):
        read_header(path)

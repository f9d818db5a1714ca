from __future__ import annotations

from typing import Any

import pytest

from app.errors import Missing, UnusableFile
from app.settings import Settings


def test_a_checkpoint_gives_its_three_parts(bench: Any) -> None:
    model, clip, vae = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    assert model.family == "tiny"
    assert clip.encode("red").context.shape == (1, 16, 16)
    assert vae.factor == 8


def test_the_same_file_is_loaded_once(bench: Any) -> None:
    first = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    assert bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[0] is first[0]


@pytest.mark.parametrize("content", [b"", b"pickle?", bytes(8), (1 << 60).to_bytes(8, "little") + b"{}"])
def test_a_damaged_file_is_told_by_name(bench: Any, installation: Settings, content: bytes) -> None:
    (installation.directories.base / "models" / "checkpoints" / "bad.safetensors").write_bytes(content)
    with pytest.raises(UnusableFile, match=r"bad\.safetensors") as told:
        bench("CheckpointLoaderSimple", ckpt_name="bad.safetensors")
    assert told.value.remedy
    assert told.value.input_name == "ckpt_name"


def test_a_missing_file_is_told(bench: Any) -> None:
    with pytest.raises(Missing, match=r"gone\.safetensors"):
        bench("CheckpointLoaderSimple", ckpt_name="gone.safetensors")

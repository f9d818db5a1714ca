"""The library example in the documentation runs, and draws what the graph draws."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from app.images.decoding import decode
from app.settings import EngineSettings, RunSettings, Settings
from app.wiring import run

ROOT = Path(__file__).parent.parent
NAME = "loom-scenes-64.safetensors"


def example() -> str:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text(), re.DOTALL)
    assert len(blocks) == 1
    return blocks[0]


def test_it_fits_in_twenty_lines() -> None:
    assert len([line for line in example().splitlines() if line.strip()]) <= 20


def test_it_draws_the_same_bytes_as_the_graph(
    installation: Settings, tiny_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = installation.directories.base
    shutil.copy(tiny_file, base / "models" / "checkpoints" / NAME)
    monkeypatch.chdir(base)
    names: dict[str, Any] = {}
    exec(compile(example(), "docs/library.md", "exec"), names)

    graph = Settings(
        command="run",
        directories=installation.directories,
        engine=EngineSettings(precision="float32"),  # what a library's user gets who asks for nothing
        run=RunSettings(workflow=ROOT / "web" / "templates" / "default.api.json", quiet=True),
    )
    assert run(graph) == 0
    drawn = Path(capsys.readouterr().out.strip())
    # The graph's file also holds the graph; the pixels are the same bytes.
    assert torch.equal(decode(drawn).image, decode(base / "picture.png").image)

"""The training command: it judges a file, and says what it measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from app.training.autoencoder import TrainingStep
from app.training.command import Log, main

ROOT = Path(__file__).parents[2]


def test_it_examines_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shipped = ROOT / "models" / "checkpoints" / "loom-scenes-64.safetensors"
    assert main(["examine", str(shipped), "--prompts", "24", "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert "examination: background" in capsys.readouterr().err
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size[0] > 800


def test_an_exam_without_prompts_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["examine", "--prompts", "0"])
    assert "--prompts: at least 1" in capsys.readouterr().err


def test_unknown_recipes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["portraits"])
    assert "scenes" in capsys.readouterr().err


def test_the_log_is_terse(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    log = Log(sys.stderr, every=1000.0)
    for step in range(1, 50):
        log("second stage", TrainingStep(step, 0.5, 64 * step, float(step), step / 100), {})
    log("judge", None, {"colour": 0.9})
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["second stage: 1%, step 1, loss 0.5000, 64 images, 64 a second", "judge: colour 0.9"]

from __future__ import annotations

from pathlib import Path

import pytest

from main import main


def test_an_expected_failure_is_told_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tmp_path / "gone.json"), "--base-directory", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "gone.json" in said
    assert "Traceback" not in said


def test_a_setting_that_cannot_be_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--listen", "0.0.0.0"]) == 1
    assert "--token" in capsys.readouterr().err


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert all(command in said for command in ("serve", "run", "worker", "train"))


def test_the_entry_is_short() -> None:
    assert len((Path(__file__).parent.parent / "main.py").read_text().splitlines()) < 60

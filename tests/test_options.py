"""Options of people's start scripts."""

from __future__ import annotations

import pytest

from app.errors import InvalidRequest
from app.options import OPTIONS, translated
from app.settings import Settings


@pytest.mark.parametrize(
    ("words", "made"),
    [
        (["--auto-launch"], ["--open"]),
        (["--cuda-device", "1"], ["--device", "cuda:1"]),
        (["--cuda-device=1", "--port", "8000"], ["--device", "cuda:1", "--port", "8000"]),
        (["--force-fp16"], ["--precision", "float16"]),
        (["--verbose", "DEBUG"], ["--verbose"]),
        (["--verbose", "info", "--cpu"], ["--cpu"]),
        (["--verbose"], ["--verbose"]),
        (["run", "w.json", "--seed", "4"], ["run", "w.json", "--seed", "4"]),
    ],
)
def test_taken_over(words: list[str], made: list[str]) -> None:
    assert translated(words) == (made, [])


def test_passed_over_with_a_word_why() -> None:
    made, notes = translated(["--lowvram", "--reserve-vram", "2.5", "--fast", "fp16_accumulation", "--port", "1"])
    assert made == ["--port", "1"]
    assert [note.split(" has no effect: ")[0] for note in notes] == ["--lowvram", "--reserve-vram", "--fast"]
    assert "by what the device has free" in notes[0]


def test_a_value_may_be_missing_or_not() -> None:
    assert translated(["--async-offload", "--cpu"])[0] == ["--cpu"]
    assert translated(["--async-offload", "2", "--cpu"])[0] == ["--cpu"]
    with pytest.raises(InvalidRequest, match="--reserve-vram lacks its value"):
        translated(["--reserve-vram"])


@pytest.mark.parametrize("name", [option.name for option in OPTIONS.values() if option.refused])
def test_refused_with_a_way_out(name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{name} is not served here: .{{20}}") as refused:
        translated([name, "x"])
    assert name in refused.value.remedy


def test_each_option_says_what_becomes_of_it() -> None:
    for option in OPTIONS.values():
        assert bool(option.why) != bool(option.becomes), option.name
        assert option.name not in ("--listen", "--port")


def test_a_start_script_of_many_options_starts() -> None:
    words = "--listen 127.0.0.1 --port 8000 --lowvram --preview-method auto --disable-xformers --force-fp32"
    more = "--dont-print-server --windows-standalone-build --output-directory out"
    settings = Settings.from_arguments([*words.split(), *more.split()])
    assert settings.serve.port == 8000
    assert settings.engine.precision == "float32"
    assert len(settings.notes) == 3

"""What the README says to type can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from app.settings import parse

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(?:sh|console|bash|powershell)\n(.*?)```", README, re.DOTALL)
LINES = [line.strip() for block in BLOCKS for line in block.splitlines() if line.strip() and not line.startswith("#")]


def test_there_are_commands() -> None:
    assert "make run" in LINES
    assert "make test" in LINES


@pytest.mark.parametrize("line", [line for line in LINES if "main.py" in line])
def test_the_command_line_is_understood(line: str) -> None:
    words = shlex.split(line, comments=True)
    arguments = words[words.index("main.py") + 1 :]
    assert parse(arguments).command in {"serve", "run", "worker", "train", "test", "export"}


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make ")])
def test_the_target_exists(line: str) -> None:
    target = line.split()[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", re.findall(r"\]\(((?!http)[^)#]+)", README))
def test_links_lead_somewhere(name: str) -> None:
    assert (ROOT / name).exists()

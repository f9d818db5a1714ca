"""The table in docs/prompts.md says how prompts are read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.diffusion.conditioning.prompt import parse_weights

PAGE = Path(__file__).parents[3] / "docs" / "prompts.md"
ROWS = re.findall(r"^\| `(.+?)` \| (`.+) \|$", PAGE.read_text(), re.MULTILINE)
EXAMPLES = [(written, read) for written, read in ROWS if re.search(r"`:[\d.]+$", read)]


def test_the_table_was_found() -> None:
    assert len(EXAMPLES) == 7


@pytest.mark.parametrize(("written", "read"), EXAMPLES)
def test_prompts_are_read_as_the_page_says(written: str, read: str) -> None:
    wanted = [(text, float(weight)) for text, weight in re.findall(r"`([^`]*)`:([\d.]+)", read)]
    parsed = parse_weights(written)
    assert [segment.text for segment in parsed] == [text for text, _ in wanted]
    assert [segment.weight for segment in parsed] == pytest.approx([weight for _, weight in wanted])

from __future__ import annotations

import pytest

from app.engine.cache import Entry
from app.engine.held import Values
from app.errors import InvalidPrompt

ENTRY = Entry(([1], [2, 3]), None)


def test_values_are_held_until_the_last_reader() -> None:
    values = Values()
    values.expect(["a"])
    values.expect(["a", "b"])
    values.hold("a", ENTRY)
    assert values.read("a", 1) == [2, 3]
    values.release(["a"])
    assert "a" in values
    values.release(["a", "b"])
    assert "a" not in values and len(values) == 0


def test_what_nobody_reads_is_not_held() -> None:
    values = Values()
    values.hold("a", ENTRY)
    assert len(values) == 0


def test_a_slot_that_is_not_there_is_told() -> None:
    values = Values()
    values.expect(["a"])
    values.hold("a", ENTRY)
    with pytest.raises(InvalidPrompt, match="has 2 outputs and no slot 2"):
        values.read("a", 2)

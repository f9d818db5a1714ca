"""Each expectation holds where it should, and fails with what happened instead."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.checks.cases import WORDS, Expectation
from app.checks.expect import psnr, unmet
from app.checks.outcome import Outcome
from app.engine.events import NodeFinished, NodesCached, RunFailed, RunInterrupted


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    Image.fromarray(np.full((4, 6, 3), 100, np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.full((4, 6, 3), 110, np.uint8)).save(tmp_path / "b.png")
    Image.new("RGB", (5, 5)).save(tmp_path / "c.png")
    return tmp_path


@pytest.fixture
def outcome(pictures: Path) -> Outcome:
    made = Outcome({"output": pictures}, known={"1", "2", "3"}, seconds=2.0)
    made.hear(NodesCached(("2",)))
    ui: dict[str, list[Any]] = {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}], "text": ["ten"]}
    made.hear(NodeFinished("1", "A", "1", False, ui, 0.5, 3 << 20))
    made.hear(NodeFinished("1", "A", "1", False, None, 0.5, 1 << 20))
    return made


PIXELS = hashlib.sha256(b"6x4" + bytes([100, 100, 100, 255]) * 24).hexdigest()

GOOD: list[tuple[str, Any, dict[str, Any]]] = [
    ("succeeds", True, {}),
    ("images", 1, {}),
    ("size", [6, 4], {}),
    ("sha256", PIXELS, {}),
    ("like", "a.png", {"psnr": 90.0}),
    ("like", "b.png", {"psnr": 28.0}),
    ("text", "ten", {}),
    ("text", ["ten"], {}),
    ("contains", "e", {}),
    ("cached", False, {}),
    ("cached", True, {"node": "2"}),
    ("runs", 2, {}),
    ("runs", 0, {"node": "3"}),
    ("seconds_below", 1.1, {}),
    ("seconds_below", 2.1, {"node": ""}),
    ("peak_mib_below", 4, {}),
    ("peak_mib_below", 4, {"node": ""}),
]
BAD: list[tuple[str, Any, dict[str, Any], str]] = [
    ("succeeds", False, {}, "the run succeeded"),
    ("error", "x", {}, "the run succeeded"),
    ("images", 2, {}, "it made 1"),
    ("size", [4, 6], {}, "a.png is 6 × 4"),
    ("size", [4, 6], {"node": "2"}, "no picture"),
    ("sha256", "0", {}, PIXELS),
    ("sha256", "0", {"image": 3}, "no picture number 3"),
    ("like", "b.png", {"psnr": 40.0}, "PSNR is 28.1 dB"),
    ("like", "c.png", {"psnr": 1.0}, "PSNR is 0.0 dB"),
    ("like", "none.png", {}, "no reference"),
    ("like", "a.png", {"node": "3"}, "no picture"),
    ("text", "eleven", {}, "['ten']"),
    ("contains", "z", {}, "['ten']"),
    ("cached", True, {}, "it ran"),
    ("cached", False, {"node": "2"}, "served from the cache"),
    ("cached", True, {"node": "3"}, "not needed"),
    ("runs", 1, {}, "ran 2 times"),
    ("seconds_below", 0.5, {}, "1.00 s"),
    ("peak_mib_below", 3, {}, "3 MiB"),
    ("images", 1, {"node": "77"}, "no node 77; it has 1, 2, 3"),
]


@pytest.mark.parametrize(("word", "value", "more"), GOOD)
def test_it_holds(outcome: Outcome, pictures: Path, word: str, value: Any, more: dict[str, Any]) -> None:
    assert unmet(Expectation(word, value, **{"node": "1", **more}), outcome, pictures) is None


@pytest.mark.parametrize(("word", "value", "more", "told"), BAD)
def test_it_fails_with_what_happened(
    outcome: Outcome, pictures: Path, word: str, value: Any, more: dict[str, Any], told: str
) -> None:
    assert told in (unmet(Expectation(word, value, **{"node": "1", **more}), outcome, pictures) or "")


def test_every_word_is_tested() -> None:
    assert {word for word, *_ in GOOD} | {"error"} == set(WORDS)
    assert {word for word, *_ in BAD} == set(WORDS)


def test_failures_are_expected_by_node_and_words(outcome: Outcome, pictures: Path) -> None:
    outcome.hear(RunFailed("2", "B", "no memory", "MemoryError", (), remedy="Use less."))
    for value, node, good in (("memory", "2", True), ("", "", True), ("disk", "2", False), ("memory", "1", False)):
        assert (unmet(Expectation("error", value, node), outcome, pictures) is None) is good
    assert unmet(Expectation("succeeds", True), outcome, pictures) == "the run failed at node 2: no memory Use less."
    outcome.hear(RunInterrupted("1", "A"))
    assert "interrupted" in (unmet(Expectation("images", 1, "1"), outcome, pictures) or "")


def test_psnr_of_equal_pictures_has_no_bound(pictures: Path) -> None:
    assert psnr(pictures / "a.png", pictures / "a.png") == math.inf
    assert psnr(pictures / "a.png", pictures / "b.png") == pytest.approx(10 * math.log10(255**2 / 100))

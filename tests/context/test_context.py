from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from app.context.context import NodeContext, PreviewPace
from app.engine.events import Event, Preview, Progress
from app.errors import Cancelled


@dataclass
class Clock:
    """A clock that is set by hand."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Bench:
    """A context whose surroundings the test owns."""

    clock: Clock = field(default_factory=Clock)
    heard: list[Event] = field(default_factory=list)
    stopped: bool = False
    size: int = 16

    def context(self) -> NodeContext:
        nothing: Any = None
        pace = PreviewPace(self.size, self.clock)
        return NodeContext("3", nothing, nothing, self.heard.append, lambda: self.stopped, pace)

    def previews(self) -> list[Preview]:
        return [event for event in self.heard if isinstance(event, Preview)]


IMAGE = torch.zeros(4, 4, 3)


def test_progress_is_told_under_the_nodes_id() -> None:
    bench = Bench()
    bench.context().progress(2, 20)
    assert bench.heard == [Progress("3", 2, 20)]


def test_previews_follow_their_progress_and_are_jpegs() -> None:
    bench = Bench()
    bench.context().progress(1, 2, IMAGE)
    assert [type(event) for event in bench.heard] == [Progress, Preview]
    assert bench.previews()[0].mime == "image/jpeg"
    assert bench.previews()[0].image.startswith(b"\xff\xd8")


def test_previews_come_at_most_ten_times_a_second_but_progress_always() -> None:
    bench = Bench()
    context = bench.context()
    for step in range(100):
        bench.clock.now = step * 0.01
        context.progress(step, 100, IMAGE)
    assert len(bench.heard) - len(bench.previews()) == 100
    assert 8 <= len(bench.previews()) <= 10


def test_a_picture_is_made_only_when_it_is_due() -> None:
    bench, made = Bench(), []

    def picture() -> torch.Tensor:
        made.append(bench.clock.now)
        return IMAGE

    context = bench.context()
    context.progress(1, 3, picture)
    context.progress(2, 3, picture)
    bench.clock.now = 1.0
    context.progress(3, 3, picture)
    assert made == [0.0, 1.0]


def test_expensive_pictures_come_less_often() -> None:
    bench = Bench()

    def slow() -> torch.Tensor:
        bench.clock.now += 1.0
        return IMAGE

    context = bench.context()
    for step in range(20):
        context.progress(step, 20, slow)
        bench.clock.now += 0.5
    assert len(bench.previews()) <= 3


def test_no_preview_is_made_when_none_are_wanted() -> None:
    bench = Bench(size=0)
    bench.context().progress(1, 1, IMAGE)
    assert bench.previews() == []


def test_a_cancelled_run_stops_at_the_next_word() -> None:
    bench = Bench()
    context = bench.context()
    context.check_cancelled()
    bench.stopped = True
    with pytest.raises(Cancelled):
        context.check_cancelled()
    with pytest.raises(Cancelled):
        context.progress(1, 2)
    assert bench.heard == []

"""What follows an end waits for it, and for nothing else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from app.server.teller import Teller


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def say(heard: list[str]) -> Callable[[str], Callable[[], None]]:
    return lambda text: partial(heard.append, text)


Say = Callable[[str], Callable[[], None]]


def test_nothing_waits_where_nothing_is_held(heard: list[str], say: Say) -> None:
    teller = Teller()
    teller.tell(say("a"))
    assert heard == ["a"]


def test_what_follows_an_end_waits_for_it(heard: list[str], say: Say) -> None:
    teller = Teller()
    first = teller.hold()
    teller.tell(say("begin of the second"))
    second = teller.hold()
    teller.tell(say("begin of the third"))
    teller.release(second, [say("end of the second")])
    assert heard == []
    teller.release(first, [say("end of the first"), say("and over")])
    assert heard == ["end of the first", "and over", "begin of the second", "end of the second", "begin of the third"]
    teller.tell(say("later"))
    assert heard[-1] == "later"


def test_an_end_that_could_not_be_written_holds_nobody_up(heard: list[str], say: Say) -> None:
    teller = Teller()
    held = teller.hold()
    teller.tell(say("begin of the next"))
    teller.release(held)
    assert heard == ["begin of the next"]


def test_what_is_told_while_others_are_released_comes_after_them(heard: list[str], say: Say) -> None:
    teller = Teller()
    held = teller.hold()
    teller.tell(lambda: teller.tell(say("told in between")))
    teller.tell(say("told before that"))
    teller.release(held)
    assert heard == ["told before that", "told in between"]

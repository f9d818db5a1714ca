"""Writes share commits: each whole or not at all, in order, durable before its answer."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Unavailable
from app.store.writer import Writer


@pytest.fixture
def commits() -> list[str]:
    return []


@pytest.fixture
def writer(tmp_path: Path, commits: list[str]) -> Iterator[Writer]:
    made = Writer(tmp_path / "x.sqlite", lambda: opened(tmp_path / "x.sqlite", commits.append))
    yield made
    made.close()


def opened(path: Path | str, trace: Callable[[str], object] = lambda text: None) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE said (n INTEGER PRIMARY KEY, text TEXT)")
    connection.set_trace_callback(lambda text: trace(text) if text == "COMMIT" else None)
    return connection


def say(text: str) -> Callable[[sqlite3.Connection], int]:
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO said (text) VALUES (?)", (text,))
        return connection.execute("SELECT count(*) FROM said").fetchone()[0]

    return work


def fail(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO said (text) VALUES ('half')")
    raise ValueError("in the middle")


def said(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        return [row[0] for row in connection.execute("SELECT text FROM said ORDER BY n")]


def all_said(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT text FROM said ORDER BY n")]


def test_what_waits_shares_a_commit_and_an_answer_is_durable(
    writer: Writer, commits: list[str], tmp_path: Path
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        begun.set()
        go_on.wait(30)

    first = writer.submit(slow)
    begun.wait(30)
    before = len(commits)
    answers = [writer.submit(say(str(n))) for n in range(50)]
    broken = writer.submit(fail)
    go_on.set()
    first.result(30)
    assert [answer.result(30) for answer in answers] == list(range(1, 51))
    with pytest.raises(ValueError, match="middle"):
        broken.result(30)
    assert len(commits) - before == 2  # the one that was on its way, and one for all that waited
    assert said(tmp_path / "x.sqlite") == [str(n) for n in range(50)]


@given(st.lists(st.booleans(), max_size=30))
def test_one_that_fails_takes_no_other_with_it(good: list[bool]) -> None:
    writer = Writer(Path(":memory:"), lambda: opened(":memory:"))
    answers = [writer.submit(say(str(n)) if fine else fail, lasting=False) for n, fine in enumerate(good)]
    wanted = [str(n) for n, fine in enumerate(good) if fine]
    held = writer.submit(all_said, lasting=False).result(30)
    assert held == wanted
    assert [answer.exception(30) is None for answer in answers] == good
    writer.close()


def test_a_write_too_large_for_the_disk_fails_alone(writer: Writer, tmp_path: Path) -> None:
    def limit(connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")

    writer.submit(limit).result(30)
    gate = threading.Event()
    writer.submit(lambda connection: gate.wait(30))
    answers = [writer.submit(say(text)) for text in ("a", "x" * 100_000, "b")]
    gate.set()
    assert answers[0].result(30)
    with pytest.raises(Unavailable, match="full"):
        answers[1].result(30)
    assert answers[2].result(30)
    assert said(tmp_path / "x.sqlite") == ["a", "b"]


def test_what_cannot_be_opened_is_told_to_who_asks(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        Writer(tmp_path / "x.sqlite", lambda: opened(tmp_path / "absent" / "x.sqlite"))


def test_closing_finishes_what_was_asked_for(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "x.sqlite", lambda: opened(tmp_path / "x.sqlite"))
    for n in range(20):
        writer.submit(say(str(n)), lasting=n % 2 == 0)
    writer.close()
    assert len(said(tmp_path / "x.sqlite")) == 20


def test_an_answer_comes_after_the_disk_and_others_do_not_wait_for_it(writer: Writer) -> None:
    story: list[str] = []
    go_on = threading.Event()
    told = {"loom.database.committed", "loom.database.flushed"}

    def hear(event: str, arguments: object) -> None:
        if event in told and threading.current_thread().name.startswith("database-"):
            story.append(event.rpartition(".")[2])
            if event.endswith("flushed"):
                go_on.wait(30)

    sys.addaudithook(hear)  # for good: there is no way to take it back, so it listens no more from the last line on
    lasting = writer.submit(say("a"))
    lasting.add_done_callback(lambda _: story.append("answered"))
    while "flushed" not in story:
        threading.Event().wait(0.01)
    assert story == ["committed", "flushed"]
    assert writer.submit(say("b"), lasting=False).result(30) == 2
    assert not lasting.done()
    go_on.set()
    assert lasting.result(30) == 1
    assert story == ["committed", "flushed", "committed", "answered"]
    told.clear()

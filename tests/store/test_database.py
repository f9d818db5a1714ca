"""The file: one writer, transactions, versions, damage."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.errors import Unavailable
from app.store.database import Database, open_connection
from app.store.locks import InstanceLock
from app.store.outputs import OutputFolders, PublishedFile, PublishKey
from app.store.published import DatabaseIndex


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "user" / "loom.sqlite")
    yield made
    made.close()


def put(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO counters VALUES ('x', 1)")


def count(connection: sqlite3.Connection) -> int:
    return connection.execute("SELECT count(*) FROM counters WHERE name = 'x'").fetchone()[0]


async def test_a_write_is_whole_or_not_at_all(database: Database) -> None:
    def fails(connection: sqlite3.Connection) -> None:
        put(connection)
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="middle"):
        await database.write(fails)
    assert await database.read(count) == 0
    await database.write(put)
    assert await database.read(count) == 1
    assert database.read_blocking(count) == 1


async def test_reading_cannot_write(database: Database) -> None:
    with pytest.raises(sqlite3.OperationalError):
        await database.read(put)


def test_it_is_durable_and_upgraded_once(tmp_path: Path) -> None:
    for _ in range(2):
        connection = open_connection(tmp_path / "x.sqlite")
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
        connection.close()


def test_a_later_version_is_left_alone(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x.sqlite")
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(Unavailable, match="999"):
        Database(tmp_path / "x.sqlite")


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_bytes(b"no database at all, and long enough to be read as a header" * 20)
    database = Database(tmp_path / "x.sqlite")
    assert database.read_blocking(count) == 0
    database.close()
    (aside,) = tmp_path.glob("x.sqlite.broken-*")
    assert aside.read_bytes().startswith(b"no database")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be opened"):
        Database(tmp_path / "file" / "x.sqlite")


def test_published_files_are_remembered(database: Database, tmp_path: Path) -> None:
    index = DatabaseIndex(database)
    assert index.find("staged", "key") is None
    file = PublishedFile("a.png", "sub", "output")
    index.record("staged", "key", file)
    assert index.find("staged", None) == index.find("another", "key") == file
    first = OutputFolders(tmp_path / "o", tmp_path / "t", index)
    staged = first.stage(b"x", ".png")
    entry = {"staged": staged, "prefix": "p", "type": "output"}
    said = first.publish(entry, PublishKey("job", "1", 0))
    later = OutputFolders(tmp_path / "o", tmp_path / "t", DatabaseIndex(database))
    assert later.publish(entry, PublishKey("other", "1", 0)) == said
    assert later.publish({**entry, "staged": later.stage(b"x", ".png")}, PublishKey("job", "1", 0)) == said


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with InstanceLock(tmp_path / "a" / "lock"), pytest.raises(Unavailable, match="Another"):
        InstanceLock(tmp_path / "a" / "lock").__enter__()
    with InstanceLock(tmp_path / "a" / "lock"):
        pass

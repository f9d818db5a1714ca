"""The log of messages: numbered at once, stored in order, nothing lost when the disk is full for a while."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import Unavailable
from app.server.event_log import EventLog
from app.store import events, jobs
from app.store.database import Database
from app.store.events import Scope
from app.store.job_records import Submission


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(tmp_path / "x.sqlite")
    await made.write(
        lambda connection: jobs.submit(
            connection, Submission("j", {}, []), keys=["j"], digest="d", node_errors={}, now=1.0
        )
    )
    yield made
    made.close()


async def stored(database: Database) -> list[int]:
    return [event.seq for event in await database.read(lambda connection: events.since(connection, Scope(), 0))]


async def allow(database: Database, more: int) -> None:
    def limit(connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + more}")

    await database.write(limit)


async def test_a_full_disk_delays_messages_and_loses_none(database: Database) -> None:
    log = EventLog(database)
    await log.open()
    first = log.add("j", "a", {}).seq
    await log.save()
    await allow(database, 0)
    large = [log.add("j", "b", {"text": "x" * 50_000}).seq for _ in range(2)]
    with pytest.raises(Unavailable):
        await log.save()
    with pytest.raises(Unavailable):
        await log.save_with(lambda connection: None)
    assert await stored(database) == [first]
    await allow(database, 1000)
    last = log.add("j", "c", {}).seq
    await log.save()
    assert await stored(database) == [first, *large, last]


async def test_work_and_messages_are_one(database: Database) -> None:
    log = EventLog(database)
    await log.open()
    number = log.add("j", "a", {}).seq

    def fails(connection: sqlite3.Connection) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await log.save_with(fails)
    assert await stored(database) == []
    await log.save()
    assert await stored(database) == [number]


async def test_who_waits_is_woken_by_a_save_and_by_the_end(database: Database) -> None:
    log = EventLog(database)
    await log.open()
    waiting = asyncio.create_task(log.next_save.wait())
    log.add("j", "a", {})
    await log.save()
    assert await asyncio.wait_for(waiting, 10)
    waiting = asyncio.create_task(log.next_save.wait())
    log.add("j", "b", {})
    await log.close()
    assert await asyncio.wait_for(waiting, 10)
    assert log.closed
    assert len(await stored(database)) == 2

"""The length of the queue, told once a moment."""

from __future__ import annotations

import asyncio
from typing import Any

from app.server.hub import Hub
from app.server.queue_news import QueueNews
from app.store.queue_order import QueueState


class Told(Hub):
    def __init__(self) -> None:
        super().__init__()
        self.lengths: list[int] = []

    def send(self, kind: str, data: Any, to: str | None = None, seq: int | None = None) -> None:
        assert (kind, to) == ("status", None)
        self.lengths.append(data["status"]["exec_info"]["queue_remaining"])


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_many_changes_of_one_moment_are_told_once() -> None:
    hub = Told()
    news = QueueNews(hub)
    for _ in range(5):
        news.count(1)
        news.tell_soon()
    assert hub.lengths == []
    await settle()
    assert hub.lengths == [5]
    news.count(-2)
    news.tell_soon()
    await settle()
    assert hub.lengths == [5, 3]


async def test_a_count_of_the_rows_is_told_only_if_it_is_news() -> None:
    hub = Told()
    news = QueueNews(hub)
    news.count(2)
    news.correct(QueueState(2, False))
    await settle()
    assert hub.lengths == []
    before = news.changes
    news.correct(QueueState(2, True))
    await settle()
    assert (hub.lengths, news.paused, news.changes > before) == ([2], True, True)
    assert news.data() == {"status": {"exec_info": {"queue_remaining": 2, "paused": True}}}

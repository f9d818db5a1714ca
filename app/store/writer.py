"""The one thread that writes to the database. What waits while a commit goes to the disk shares the next one."""

from __future__ import annotations

import queue
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from app.errors import Unavailable

_MOST_TOGETHER = 500  # a transaction's worth; so many answers wait at most for one commit

Work = Callable[[sqlite3.Connection], Any]


@dataclass(eq=False, slots=True)
class _Order:
    """One write that is asked for, and where to answer."""

    work: Work
    answer: Future[Any] = field(default_factory=Future[Any])
    result: Any = None
    error: BaseException | None = None


class Writer:
    """Runs writes in the order in which they are asked for, each whole or not at all, many to a commit.

    Args:
        connect: makes the connection, in the writer's thread. What it raises is raised here.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(connect, opened), name="database-writer")
        self._thread.start()
        opened.result()

    def submit(self, work: Work) -> Future[Any]:
        """Ask for a write. The answer comes once it is durable; `Unavailable` when it cannot be."""
        order = _Order(work)
        order.answer.set_running_or_notify_cancel()  # from now on it is carried through
        self._orders.put(order)
        return order.answer

    def close(self) -> None:
        """Finish what was asked for and close the connection."""
        self._orders.put(None)
        self._thread.join()

    def _run(self, connect: Callable[[], sqlite3.Connection], opened: Future[None]) -> None:
        try:
            connection = connect()
        except BaseException as broken:
            opened.set_exception(broken)
            return
        opened.set_result(None)
        try:
            for orders in self._batches():
                _carry_out(connection, orders)
        finally:
            connection.close()

    def _batches(self) -> Iterator[Sequence[_Order]]:
        """What waits, as soon as something does; ends with `close`."""
        while (first := self._orders.get()) is not None:
            orders = [first]
            last = False
            while len(orders) < _MOST_TOGETHER and not last:
                try:
                    order = self._orders.get_nowait()
                except queue.Empty:
                    break
                last = order is None
                orders += [] if order is None else [order]
            yield orders
            if last:
                return


def _carry_out(connection: sqlite3.Connection, orders: Sequence[_Order]) -> None:
    """Run the writes in one transaction and answer each."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for order in orders:
            _try(connection, order)
        sys.audit("loom.database.commit")
        connection.execute("COMMIT")
        sys.audit("loom.database.committed")
    except sqlite3.Error as broken:
        _undo(connection)
        failure = Unavailable(
            f"The database could not be written: {broken}.", remedy="Free space on its disk, then try again."
        )
        if len(orders) > 1:
            # One of them may be too large for the space there is; the others need not fail with it.
            for order in orders:
                _carry_out(connection, [order])
            return
        failure.__cause__ = broken
        orders[0].error = failure
    for order in orders:
        if order.error is None:
            order.answer.set_result(order.result)
        else:
            order.answer.set_exception(order.error)


def _try(connection: sqlite3.Connection, order: _Order) -> None:
    """One write within the transaction: undone when it raises."""
    order.error = None
    connection.execute("SAVEPOINT one")
    try:
        order.result = order.work(connection)
    except sqlite3.OperationalError:
        raise  # no space: SQLite may have ended the whole transaction
    except BaseException as broken:
        order.error = broken
        connection.execute("ROLLBACK TO one")
    connection.execute("RELEASE one")


def _undo(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:  # a full disk ends the transaction by itself
        connection.execute("ROLLBACK")

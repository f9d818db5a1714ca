"""One thread writes to the database, another waits for the disk: who writes next need not wait with it.

SQLite would wait for the disk at each commit (`synchronous = FULL`), and all other writes with it. Here a commit only
writes to the log file beside the database; the second thread then flushes that file, once for all who wait, and
answers them. What has been answered is as durable as SQLite makes it: the same file is flushed, a moment later.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import Unavailable

_MOST_TOGETHER = 500  # a transaction's worth

Work = Callable[[sqlite3.Connection], Any]


@dataclass(eq=False, slots=True)
class _Order:
    """One write that is asked for, and where to answer: in the event loop of `answer`, or in any thread without one."""

    work: Work
    lasting: bool
    answer: Future[Any] | asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class Writer:
    """Runs writes in the order in which they are asked for, each whole or not at all, many to a commit.

    Args:
        path: of the database.
        connect: makes the connection, in the writer's thread. What it raises is raised here.
    """

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path = path
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._committed: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(connect, opened), name="database-writer")
        self._thread.start()
        opened.result()

    def submit(self, work: Work, *, lasting: bool = True) -> Future[Any]:
        """Ask for a write. The answer comes once it is durable; `Unavailable` when it cannot be.

        With `lasting=False` it comes once the write is done: it then survives the end of this process, but perhaps not
        that of the machine.
        """
        answer: Future[Any] = Future()
        answer.set_running_or_notify_cancel()  # from now on it is carried through
        self._orders.put(_Order(work, lasting, answer))
        return answer

    def submit_from_loop(self, work: Work, *, lasting: bool = True) -> asyncio.Future[Any]:
        """`submit` for the thread of an event loop, which is woken once for all answers of one moment. A write is
        carried through even if its answer is cancelled."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._orders.put(_Order(work, lasting, answer))
        return answer

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
        flusher = threading.Thread(target=self._flush, name="database-flusher")
        flusher.start()
        try:
            for orders in _batches(self._orders):
                _carry_out(connection, orders)
                for order in orders:
                    if order.lasting and order.error is None:
                        self._committed.put(order)
                _answer(order for order in orders if not order.lasting or order.error is not None)
        finally:
            self._committed.put(None)
            flusher.join()
            connection.close()

    def _flush(self) -> None:
        """Answer what is committed, once it is on the disk."""
        log = -1
        for orders in _batches(self._committed):
            try:
                if log < 0:
                    log = _open_log(self._path)
                sys.audit("loom.database.flushing")
                os.fsync(log)
                sys.audit("loom.database.flushed")
            except OSError as broken:
                for order in orders:
                    order.error = _unwritten(broken)
            _answer(orders)
        if log >= 0:
            os.close(log)


def _batches(orders: queue.SimpleQueue[_Order | None]) -> Iterator[Sequence[_Order]]:
    """What waits, as soon as something does, until None comes."""
    while (first := orders.get()) is not None:
        batch = [first]
        last = False
        while len(batch) < _MOST_TOGETHER and not last:
            try:
                order = orders.get_nowait()
            except queue.Empty:
                break
            last = order is None
            batch += [] if order is None else [order]
        yield batch
        if last:
            return


def _open_log(path: Path) -> int:
    """A descriptor of the log file beside a database in use; its name is on the disk when this returns."""
    log = os.open(f"{path}-wal", os.O_RDWR)
    with suppress(PermissionError):  # Windows flushes no folders, and keeps names by itself
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    return log


def _answer(orders: Iterable[_Order]) -> None:
    """Answer in the order in which was asked. To wake an event loop is dear, so that is done once for all of it."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Order]] = {}
    for order in orders:
        if isinstance(order.answer, Future):
            _deliver([order])
        else:
            by_loop.setdefault(order.answer.get_loop(), []).append(order)
    for loop, its in by_loop.items():
        with suppress(RuntimeError):  # the loop has ended, and with it who asked
            loop.call_soon_threadsafe(_deliver, its)


def _deliver(orders: Iterable[_Order]) -> None:
    for order in orders:
        if order.answer.cancelled():
            continue
        if order.error is None:
            order.answer.set_result(order.result)
        else:
            order.answer.set_exception(order.error)


def _unwritten(broken: Exception) -> Unavailable:
    failure = Unavailable(
        f"The database could not be written: {broken}.", remedy="Free space on its disk, then try again."
    )
    failure.__cause__ = broken
    return failure


def _carry_out(connection: sqlite3.Connection, orders: Sequence[_Order]) -> None:
    """Run the writes in one transaction.

    Each statement gives the interpreter away and has to get it back, so they are few: only when a write has raised is
    all done again with a point to return to before each.
    """
    try:
        _in_one_transaction(connection, orders, _just_do)
    except sqlite3.OperationalError as broken:
        _fail(connection, orders, broken)
    except BaseException as broken:
        if len(orders) == 1:
            orders[0].error = broken
            return
        try:
            _in_one_transaction(connection, orders, _try)
        except sqlite3.Error as again:
            _fail(connection, orders, again)


def _in_one_transaction(
    connection: sqlite3.Connection,
    orders: Sequence[_Order],
    do: Callable[[sqlite3.Connection, _Order], None],
) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        for order in orders:
            do(connection, order)
        sys.audit("loom.database.commit")
        connection.execute("COMMIT")
        sys.audit("loom.database.committed")
    except BaseException:
        _undo(connection)
        raise


def _fail(connection: sqlite3.Connection, orders: Sequence[_Order], broken: sqlite3.Error) -> None:
    """One of them may be too large for the space there is; the others need not fail with it."""
    if len(orders) == 1:
        orders[0].error = _unwritten(broken)
        return
    for order in orders:
        _carry_out(connection, [order])


def _just_do(connection: sqlite3.Connection, order: _Order) -> None:
    order.error = None
    order.result = order.work(connection)


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

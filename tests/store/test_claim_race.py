"""Several processes' worth of connections race for the same jobs: each job goes to one, under a token of its own."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from pathlib import Path

from app.store import job_queries, jobs
from app.store.database import open_connection
from app.store.job_records import Outcome, Submission

JOBS, RACERS = 60, 4


def transact(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("BEGIN IMMEDIATE")
    return connection


def test_each_job_is_claimed_once_and_lost_ones_again(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    setup = open_connection(path)
    setup.execute("PRAGMA synchronous = OFF")
    for n in range(JOBS):
        jobs.submit(setup, Submission(f"j{n:02}", {}, []), keys=(f"j{n}",), digest="d", node_errors={}, now=1.0)
    claims: list[tuple[str, int]] = []
    orders: dict[int, list[str]] = {}
    start = threading.Barrier(RACERS)

    def race(racer: int) -> None:
        connection = open_connection(path)
        connection.execute("PRAGMA synchronous = OFF")
        start.wait(30)
        mine: list[str] = []
        while True:
            record = jobs.claim(transact(connection), f"w{racer}", lease_until=9.0, now=1.0)
            connection.execute("COMMIT")
            if record is None:
                break
            claims.append((record.id, record.token))
            mine.append(record.id)
            transact(connection)
            if record.token == 1 and int(record.id[1:]) % 5 == 0:  # every fifth is lost once
                assert jobs.lose(connection, record.id, record.token)[0] == "queued"
            else:
                assert jobs.finish(connection, record.id, record.token, Outcome("succeeded"), 2.0)
            connection.execute("COMMIT")
        orders[racer] = mine
        connection.close()

    racers = [threading.Thread(target=race, args=(racer,)) for racer in range(RACERS)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert max(Counter(claims).values()) == 1
    assert len(claims) == JOBS + JOBS // 5
    assert len(job_queries.history(setup)) == JOBS
    assert len(orders) == RACERS
    setup.close()

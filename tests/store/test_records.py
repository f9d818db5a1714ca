"""What nodes did and cost is kept with their job, and learnt from."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from app.store import job_queries, jobs, records
from app.store.database import open_connection
from app.store.job_records import Outcome, Submission
from app.store.records import MOST_LEARNT, MOST_NODES, NodeRun


@pytest.fixture
def connection(tmp_path: Path) -> sqlite3.Connection:
    opened = open_connection(tmp_path / "db.sqlite")
    for name in ("j", "k"):
        jobs.submit(opened, Submission(name, {}, []), keys=[name], digest=name, node_errors={}, now=1.0)
    return opened


def ran(node_id: str = "1", seconds: float = 2.0, **known: object) -> NodeRun:
    usual: dict[str, object] = {"runs": 1, "peak_bytes": 100, "result_bytes": 10, "signature": ("s", "a")}
    return NodeRun(node_id, "Sampler", seconds=seconds, **{**usual, **known})  # type: ignore[arg-type]


def test_a_jobs_nodes_come_back(connection: sqlite3.Connection) -> None:
    records.write(connection, "j", [ran(reason="seed changed from 1 to 2"), NodeRun("2", "Load", cached=1)], 5.0)
    assert records.of_jobs(connection, ["j", "k"]) == {
        "j": {
            "1": {
                "class_type": "Sampler",
                "runs": 1,
                "cached": 0,
                "seconds": 2.0,
                "peak_bytes": 100,
                "result_bytes": 10,
                "reason": "seed changed from 1 to 2",
            },
            "2": {
                "class_type": "Load",
                "runs": 0,
                "cached": 1,
                "seconds": 0.0,
                "peak_bytes": 0,
                "result_bytes": 0,
                "reason": "",
            },
        }
    }


def test_a_record_goes_with_its_job(connection: sqlite3.Connection) -> None:
    jobs.claim(connection, "w", lease_until=9.0, now=1.0)
    records.write(connection, "j", [ran()], 5.0)
    jobs.finish(connection, "j", 1, Outcome("succeeded"), 2.0)
    job_queries.forget(connection, ["j"])
    assert records.of_jobs(connection, ["j"]) == {}


def test_nothing_is_kept_of_jobs_that_are_gone(connection: sqlite3.Connection) -> None:
    records.write(connection, "unknown", [ran()], 5.0)
    assert records.of_jobs(connection, ["unknown"]) == {}


def test_costs_are_means_of_samples_and_the_highest_peak(connection: sqlite3.Connection) -> None:
    records.write(connection, "j", [ran(seconds=2.0, peak_bytes=100)], 5.0)
    records.write(connection, "k", [ran(seconds=4.0, peak_bytes=50, result_bytes=20)], 6.0)
    for key in ("s", "a", "class Sampler"):
        found = records.cost(connection, key)
        assert found is not None
        assert (found.samples, found.seconds, found.peak_bytes, found.result_bytes) == (2, pytest.approx(3.0), 100, 20)
    assert records.cost(connection, "other") is None


def test_a_loops_rounds_count_one_by_one(connection: sqlite3.Connection) -> None:
    records.write(connection, "j", [ran(seconds=10.0, runs=5)], 5.0)
    found = records.cost(connection, "s")
    assert found is not None
    assert found.seconds == pytest.approx(2.0)


def test_a_faster_machine_shows_after_many_samples(connection: sqlite3.Connection) -> None:
    for _ in range(200):
        records.write(connection, "j", [ran(seconds=10.0)], 5.0)
    for _ in range(60):
        records.write(connection, "j", [ran(seconds=1.0)], 6.0)
    found = records.cost(connection, "s")
    assert found is not None
    assert found.seconds < 2.0


def test_nodes_that_only_the_cache_served_teach_nothing(connection: sqlite3.Connection) -> None:
    records.write(connection, "j", [NodeRun("1", "Sampler", cached=1)], 5.0)
    assert records.cost(connection, "class Sampler") is None


def test_huge_graphs_keep_their_costliest_nodes(connection: sqlite3.Connection) -> None:
    runs = [ran(str(i), seconds=float(i), signature=(f"s{i}", f"a{i}")) for i in range(MOST_NODES + 10)]
    records.write(connection, "j", runs, 5.0)
    kept = records.of_jobs(connection, ["j"])["j"]
    assert len(kept) == MOST_NODES
    assert str(MOST_NODES + 9) in kept and "0" not in kept
    assert records.cost(connection, f"s{MOST_NODES + 9}") is not None
    assert records.cost(connection, f"s{MOST_NODES - MOST_LEARNT}") is None


def test_rounds_add_up() -> None:
    first = ran(seconds=1.0, peak_bytes=5, reason="why")
    both = first.plus(ran(seconds=2.0, peak_bytes=3, reason="round 2 of its loop"))
    assert (both.runs, both.seconds, both.peak_bytes, both.reason) == (2, 3.0, 5, "why")
    assert both.plus(NodeRun("1", "Sampler", cached=1)).cached == 1

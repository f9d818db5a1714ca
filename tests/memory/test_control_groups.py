"""Files as Linux shows them inside and outside of containers, below a folder that stands for the whole system."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from app.memory.control_groups import memory_limits
from app.memory.devices import main_memory

GIB = 1 << 30
MEMINFO = f"MemTotal:  {64 * GIB // 1024} kB\nMemFree: 5 kB\nMemAvailable: {40 * GIB // 1024} kB"
V1 = "9:cpu,cpuacct:/\n4:memory:{path}\n0::/\n"
NO_LIMIT = 0x7FFFFFFFFFFFF000  # what the first generation says where there is none


def system(root: Path, files: Mapping[str, object]) -> Path:
    for name, content in {"proc/meminfo": MEMINFO, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{content}\n")
    return root


def second(folder: str = "", *, limit: object, used: int, cached: int = 0) -> dict[str, object]:
    place = f"sys/fs/cgroup{folder}"
    stat = f"anon 1\ninactive_file {cached}\nactive_file 7"
    return {f"{place}/memory.max": limit, f"{place}/memory.current": used, f"{place}/memory.stat": stat}


def first(folder: str = "", *, limit: object, used: int, cached: int = 0) -> dict[str, object]:
    place = f"sys/fs/cgroup/memory{folder}"
    stat = f"inactive_file 1\ntotal_inactive_file {cached}"
    return {
        f"{place}/memory.limit_in_bytes": limit,
        f"{place}/memory.usage_in_bytes": used,
        f"{place}/memory.stat": stat,
    }


def test_without_a_limit_all_memory_counts(tmp_path: Path) -> None:
    assert main_memory(system(tmp_path, {})) == (64 * GIB, 40 * GIB)


def test_a_container_of_the_second_generation(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/", **second(limit=8 * GIB, used=3 * GIB)}
    assert main_memory(system(tmp_path, files)) == (8 * GIB, 5 * GIB)


def test_a_container_of_the_first_generation(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": V1.format(path="/"), **first(limit=8 * GIB, used=3 * GIB)}
    assert main_memory(system(tmp_path, files)) == (8 * GIB, 5 * GIB)


def test_cached_files_can_be_had(tmp_path: Path) -> None:
    old = {"proc/self/cgroup": V1.format(path="/"), **first(limit=8 * GIB, used=7 * GIB, cached=2 * GIB)}
    new = {"proc/self/cgroup": "0::/", **second(limit=8 * GIB, used=7 * GIB, cached=2 * GIB)}
    assert main_memory(system(tmp_path / "old", old)) == (8 * GIB, 3 * GIB)
    assert main_memory(system(tmp_path / "new", new)) == (8 * GIB, 3 * GIB)
    more = {"proc/self/cgroup": "0::/", **second(limit=8 * GIB, used=1 * GIB, cached=9 * GIB)}
    assert main_memory(system(tmp_path / "more", more)) == (8 * GIB, 8 * GIB)


def test_the_tightest_of_the_groups_above_counts(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/user.slice/job",
        **second("/user.slice/job", limit=32 * GIB, used=1 * GIB),
        **second("/user.slice", limit=16 * GIB, used=14 * GIB),
        **second("", limit="max", used=50 * GIB),
    }
    assert main_memory(system(tmp_path, files)) == (16 * GIB, 2 * GIB)


@pytest.mark.parametrize("path", ["/docker/abc", "/../other", "/kubepods/pod1/abc"])
def test_a_group_whose_place_is_only_known_outside_is_the_top_inside(tmp_path: Path, path: str) -> None:
    new = {"proc/self/cgroup": f"0::{path}", **second(limit=8 * GIB, used=3 * GIB)}
    old = {"proc/self/cgroup": V1.format(path=path), **first(limit=8 * GIB, used=3 * GIB)}
    assert main_memory(system(tmp_path / "new", new)) == (8 * GIB, 5 * GIB)
    assert main_memory(system(tmp_path / "old", old)) == (8 * GIB, 5 * GIB)


def test_no_limit_is_none(tmp_path: Path) -> None:
    old = {"proc/self/cgroup": V1.format(path="/"), **first(limit=NO_LIMIT, used=3 * GIB)}
    new = {"proc/self/cgroup": "0::/", **second(limit="max", used=3 * GIB)}
    assert main_memory(system(tmp_path / "old", old)) == (64 * GIB, 40 * GIB)
    assert main_memory(system(tmp_path / "new", new)) == (64 * GIB, 40 * GIB)
    assert list(memory_limits(tmp_path / "new")) == []


def test_a_group_that_is_over_its_limit_has_nothing_left(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/", **second(limit=GIB, used=2 * GIB)}
    assert main_memory(system(tmp_path, files)) == (GIB, 0)


def test_both_generations_side_by_side(tmp_path: Path) -> None:
    """As systems had it for years: memory in the first one's tree, the second one's below "unified"."""
    files = {
        "proc/self/cgroup": V1.format(path="/"),
        **first(limit=8 * GIB, used=3 * GIB),
        "sys/fs/cgroup/unified/memory.max": "max",
    }
    assert main_memory(system(tmp_path, files)) == (8 * GIB, 5 * GIB)


@pytest.mark.parametrize("broken", ["", "no numbers", "-5", "1 2", "\u0661"])
def test_files_that_say_nothing_are_passed_over(tmp_path: Path, broken: str) -> None:
    files = {"proc/self/cgroup": "x\n::\n0::/\n", **second(limit=broken, used=1)}
    assert main_memory(system(tmp_path, files)) == (64 * GIB, 40 * GIB)


def test_a_system_that_tells_nothing_of_what_is_free(tmp_path: Path) -> None:
    assert main_memory(tmp_path / "nowhere")[1] == 0

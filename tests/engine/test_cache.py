from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.cache import LOOK_AFTER_BYTES, MOST_PREVIOUS, WORTH_DROPPING, Cache, Entry, Headroom
from app.graph.fingerprint import NodeKey


def entry(value: Any = 1) -> Entry:
    return Entry(([value],), None)


def sized(**limits: Any) -> Cache:
    """A cache in which a value counts as many bytes as it says."""
    return Cache(size_of=lambda held: held[0][0][0], **limits)  # type: ignore[index]


def test_a_miss_is_none() -> None:
    assert Cache().get("absent") is None
    assert "absent" not in Cache()


def test_what_was_put_is_there() -> None:
    cache = Cache()
    cache.put("a", entry(5))
    assert cache.get("a") == entry(5)
    assert "a" in cache and len(cache) == 1


def test_the_least_recently_used_leaves_first() -> None:
    cache = Cache(max_entries=2)
    cache.put("a", entry())
    cache.put("b", entry())
    cache.get("a")
    cache.begin(())
    cache.put("c", entry())
    assert "b" not in cache
    assert "a" in cache and "c" in cache


def test_a_new_prompt_freshens_what_it_shares() -> None:
    cache = Cache(max_entries=2)
    cache.put("a", entry())
    cache.put("b", entry())
    cache.begin({"a"})
    cache.put("c", entry())
    assert "a" in cache and "b" not in cache


def test_the_results_of_the_latest_prompt_stay_together_however_many_they_are() -> None:
    cache = Cache(max_entries=2)
    for key in "abcd":
        cache.put(key, entry())
    assert len(cache) == 4
    cache.begin("abcd")
    assert len(cache) == 4, "the same prompt again is served whole"
    cache.begin("d")
    assert [key for key in "abcd" if key in cache] == ["c", "d"]
    cache.clear()
    cache.put("x", entry())
    assert len(cache) == 1


class Machine:
    """Memory that results of a cache take from; they leave 100 at first."""

    def __init__(self, total: int):
        self.total = total
        self.looks = 0
        self.cache = sized(headroom=Headroom(self.free, active=100, idle=300))

    def free(self) -> int:
        self.looks += 1
        return self.total - self.cache.bytes // WORTH_DROPPING

    def put(self, key: str, size: int = 1) -> None:
        self.cache.put(key, entry(size * WORTH_DROPPING))


def test_results_of_earlier_prompts_go_first_where_the_machine_lacks_memory() -> None:
    machine = Machine(total=305)
    for key in "abcdef":
        machine.put(key)
    assert len(machine.cache) == 6, "all of one prompt"
    machine.cache.begin("f")
    assert [key for key in "abcdef" if key in machine.cache] == ["b", "c", "d", "e", "f"], "one is enough"


def test_results_of_the_latest_prompt_go_where_it_lacks_more() -> None:
    machine = Machine(total=112)
    for key in "abcdefgh":
        machine.put(key, 1 + LOOK_AFTER_BYTES // WORTH_DROPPING)
    assert [key for key in "abcdefgh" if key in machine.cache] == ["g", "h"]
    assert machine.free() >= 100


def test_small_results_give_nothing_back_and_a_machine_is_not_asked_all_the_time() -> None:
    machine = Machine(total=0)
    for number in range(1000):
        machine.cache.put(str(number), entry(WORTH_DROPPING // 1000))
    assert len(machine.cache) == 1000
    assert machine.looks == 0
    machine.put("large", 10)
    assert "large" not in machine.cache
    assert machine.looks == 1


def test_bytes_are_counted_and_limited() -> None:
    cache = sized(max_bytes=10)
    cache.put("a", entry(4))
    cache.put("b", entry(5))
    assert cache.bytes == 9
    cache.put("c", entry(6))
    assert cache.bytes == 6
    assert len(cache) == 1


def test_what_can_never_fit_drives_nothing_out() -> None:
    cache = sized(max_bytes=10)
    cache.put("a", entry(4))
    cache.put("b", entry(11))
    assert "a" in cache and "b" not in cache


def test_putting_again_replaces() -> None:
    cache = sized(max_bytes=10)
    cache.put("a", entry(4))
    cache.put("a", entry(7))
    assert cache.bytes == 7
    cache.put("a", entry(11))
    assert cache.bytes == 0 and "a" not in cache


def test_latest_only_keeps_what_the_prompt_is_made_of() -> None:
    cache = Cache(latest_only=True)
    cache.put("a", entry())
    cache.put("b", entry())
    cache.begin({"b", "c"})
    assert "a" not in cache and "b" in cache


def test_no_entries_keeps_nothing() -> None:
    cache = Cache(max_entries=0)
    cache.put("a", entry())
    assert len(cache) == 0 and cache.bytes == 0


def test_clearing_and_dropping() -> None:
    cache = sized()
    cache.put("a", entry(3))
    cache.put("b", entry(4))
    cache.drop("a")
    cache.drop("absent")
    assert cache.bytes == 4
    cache.clear()
    assert cache.bytes == 0 and len(cache) == 0


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 12)), max_size=30), st.integers(0, 20))
def test_the_limits_always_hold_and_the_count_is_right(puts: list[tuple[str, int]], limit: int) -> None:
    cache = sized(max_bytes=limit, max_entries=3)
    latest: dict[str, int] = {}
    for key, size in puts:
        cache.begin(())
        cache.put(key, entry(size))
        latest[key] = size
        assert cache.bytes <= limit and len(cache) <= 3
        assert cache.bytes == sum(size for key, size in latest.items() if key in cache)


@pytest.mark.parametrize("limits", [{}, {"max_entries": 5}, {"max_bytes": 10**9}, {"latest_only": True}])
def test_every_policy_serves_the_same_prompt_twice(bench: Any, limits: dict[str, Any]) -> None:
    bench.cache = Cache(**limits)
    nodes = {"a": ("Constant", {"value": 2}), "c": ("Show", {"value": ["a", 0]})}
    bench.run(nodes)
    bench.run(nodes)
    assert bench.called == []


def test_what_earlier_prompts_were_made_of_is_kept_within_bounds() -> None:
    cache = Cache()
    keys = [{(str(i), "A"): NodeKey(str(i), {})} for i in range(MOST_PREVIOUS + 50)]
    assert [cache.earlier(each) for each in keys] == [{}] * len(keys)
    last = keys[-1]
    assert cache.earlier(last) == last
    assert cache.known_keys(keys[0]) == {}, "the oldest has gone"
    assert cache.known_keys(keys[100]) == keys[100]


def test_one_large_prompt_is_remembered_whole() -> None:
    cache = Cache()
    large = {(str(i), "A"): NodeKey(str(i), {}) for i in range(MOST_PREVIOUS + 1000)}
    cache.earlier(large)
    assert cache.earlier(large) == large

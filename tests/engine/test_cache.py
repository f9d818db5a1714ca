from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.cache import MOST_PREVIOUS, Cache, Entry
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

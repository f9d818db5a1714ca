from __future__ import annotations

import gc
import weakref

import pytest

from app.engine.collecting import YOUNG_OBJECTS, collect_rarely, collection_paused


def test_it_rests_inside_and_works_again_behind_whatever_happens() -> None:
    assert gc.isenabled()
    with collection_paused():
        assert not gc.isenabled()
        with collection_paused():
            assert not gc.isenabled()
        assert not gc.isenabled(), "the inner one does not wake it"
    assert gc.isenabled()
    with pytest.raises(ValueError, match="x"), collection_paused():
        raise ValueError("x")
    assert gc.isenabled()


def test_a_process_that_runs_graphs_looks_rarely_and_still_finds_circles() -> None:
    class Held:
        """Can be watched."""

    before = gc.get_threshold()
    try:
        collect_rarely()
        assert gc.get_threshold()[0] == YOUNG_OBJECTS
        assert gc.get_freeze_count() > 0
        circle: list[object] = [Held()]
        circle.append(circle)
        gone = weakref.ref(circle[0])
        del circle
        kept = [[index] for index in range(3 * YOUNG_OBJECTS)]  # a circle is young: a look among the young finds it
        assert gone() is None
        assert len(kept) == 3 * YOUNG_OBJECTS
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)

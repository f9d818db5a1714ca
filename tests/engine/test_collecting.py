from __future__ import annotations

import gc

import pytest

from app.engine.collecting import collection_paused


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

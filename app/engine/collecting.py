"""Large graphs make many small objects at once; looking for circles among them meanwhile costs more than that."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager

YOUNG_OBJECTS = 10_000  # of which most outlive a look at them while a graph is prepared


@contextmanager
def collection_paused() -> Generator[None]:
    """The collector of circular garbage rests inside, unless it rests already."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def collect_rarely() -> None:
    """For a process that runs graphs: what is there by now is never walked again, and young objects less often.

    A graph of 50,000 nodes makes a million objects that stay, and Python would look through them every 700. Circles
    that hold large values still go, after so many more objects.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)

"""Work on many tensors, spread over the cores: each core works on one tensor alone.

Where all cores share every operation they meet after each, and on a busy machine wait for each other every time; with
weights, which are thousands of short operations, that has cost twenty times the work itself (measured).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def spread(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """The result for each item, in order; `work` may not depend on what is done with the others.

    Raises what the first item that fails raises.
    """
    threads = torch.get_num_threads()
    if threads == 1 or len(items) < 2:
        return [work(item) for item in items]

    with ThreadPoolExecutor(threads, "weights", torch.set_num_threads, (1,)) as pool:
        try:
            return list(pool.map(work, items))
        finally:
            torch.set_num_threads(threads)  # threads that are born later take the number that was set last

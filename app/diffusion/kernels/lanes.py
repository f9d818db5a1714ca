"""How work is spread over the cores of one processor.

Small work stays on one core: more of them save a tenth at most where nobody else computes, and wait many times as long
for each other where somebody does.

Where all cores share every operation they meet after each. Cores that work on something of their own meet once at the
end: two halves of a batch on half the cores each take 0.93 of the time for a guided step of Stable Diffusion 1.5 on two
cores, and with weights, which are thousands of short operations, meeting has cost twenty times the work on a busy
machine (measured).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

# Pixels or tokens of a batch times the square of their width.
SMALL_WORK = 1 << 21


def is_small(work: int, device: torch.device) -> bool:
    """Whether so much work on the processor is too little to share among cores."""
    return device.type == "cpu" and work <= SMALL_WORK


@contextmanager
def cores_for(work: int, device: torch.device) -> Generator[None]:
    """One core within, where the work is small and on the processor; all that this thread has otherwise."""
    threads = torch.get_num_threads()
    if threads == 1 or not is_small(work, device):
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def side_by_side(works: Sequence[Callable[[], R]]) -> list[R]:
    """The results of the works, in order, each computed by a thread with its share of the cores."""
    return spread(lambda work: work(), works, lanes=len(works))


def spread(work: Callable[[T], R], items: Sequence[T], *, lanes: int = 0) -> list[R]:
    """The result for each item, in order; so many `lanes` share the cores, 0 for one a core.

    `work` may not depend on what is done with the others. Gradients are taken where the caller takes them. Raises what
    the first item that fails raises.
    """
    threads = torch.get_num_threads()
    lanes = lanes or threads
    if min(threads, lanes, len(items)) < 2:
        return [work(item) for item in items]
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def in_lane(item: T) -> R:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            return work(item)

    with ThreadPoolExecutor(lanes, "lane", torch.set_num_threads, (max(1, threads // lanes),)) as pool:
        try:
            return list(pool.map(in_lane, items))
        finally:
            torch.set_num_threads(threads)  # threads that are born later take the number that was set last

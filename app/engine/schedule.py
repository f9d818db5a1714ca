"""Which node is next: counts of what each node still waits for, and a heap of those that wait for nothing."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable


class Schedule:
    """Nodes that must still run. Every operation costs the links it names, plus the heap's logarithm."""

    def __init__(self) -> None:
        self._waiting: dict[str, int] = {}  # unfinished node → how many others it waits for
        self._children: dict[str, list[str]] = {}  # unfinished node → who waits for it
        self._rank: dict[str, tuple[int, int]] = {}
        self._ready: list[tuple[int, int, str]] = []
        self._added = 0

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def unfinished(self) -> Collection[str]:
        """All nodes that have not finished."""
        return self._waiting.keys()

    def add(self, node_id: str, parents: Iterable[str], *, first: bool = False) -> None:
        """A node that waits for those of `parents` that have not finished.

        Among ready nodes those added with `first` run first, else the one that was added first: parents are added
        depth first, so that a branch ends, and its values go, before the next one begins.
        """
        self._rank[node_id] = (0 if first else 1, self._added)
        self._added += 1
        self._waiting[node_id] = 0
        self._children[node_id] = []
        self.wait_for(node_id, parents)

    def wait_for(self, node_id: str, parents: Iterable[str]) -> None:
        """The node waits for these, too; it is ready again once they have finished."""
        unfinished = [parent for parent in dict.fromkeys(parents) if parent in self._waiting]
        for parent in unfinished:
            self._children[parent].append(node_id)
        self._waiting[node_id] += len(unfinished)
        if self._waiting[node_id] == 0:
            heapq.heappush(self._ready, (*self._rank[node_id], node_id))

    def pop(self) -> str | None:
        """A ready node, which stays unfinished until `finish`; None if there is none."""
        return heapq.heappop(self._ready)[-1] if self._ready else None

    def finish(self, node_id: str) -> None:
        """The node is done; who waited for it alone becomes ready."""
        del self._waiting[node_id], self._rank[node_id]
        for child in self._children.pop(node_id):
            self._waiting[child] -= 1
            if self._waiting[child] == 0:
                heapq.heappush(self._ready, (*self._rank[child], child))

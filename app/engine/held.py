"""The values of a run's nodes, held until the last reader is done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.engine.cache import Entry
from app.engine.node import Absent
from app.errors import InvalidPrompt


class Values:
    """Entries of finished nodes that somebody still has to read."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._readers: dict[str, int] = {}

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def expect(self, parents: Iterable[str]) -> None:
        """One more reader for each of these nodes, finished or not."""
        for parent in parents:
            self._readers[parent] = self._readers.get(parent, 0) + 1

    def hold(self, node_id: str, entry: Entry) -> None:
        """Keeps the entry if somebody is expected to read it."""
        if self._readers.get(node_id, 0) > 0:
            self._entries[node_id] = entry

    def release(self, parents: Iterable[str]) -> None:
        """A reader of these nodes is done."""
        for parent in parents:
            self._readers[parent] -= 1
            if self._readers[parent] == 0:
                del self._readers[parent]
                self._entries.pop(parent, None)

    def outputs(self, node_id: str) -> tuple[list[Any], ...]:
        """All values of a node that somebody still has to read."""
        return self._entries[node_id].values

    def read(self, node_id: str, slot: int) -> list[Any]:
        """The values of one output.

        Raises:
            InvalidPrompt: the node has no such output, for which only an expansion can ask, or gave no value for it.
        """
        outputs = self._entries[node_id].values
        if slot >= len(outputs):
            raise InvalidPrompt(
                f"Node {node_id} has {len(outputs)} outputs and no slot {slot}.", remedy="Count from 0."
            )
        values = outputs[slot]
        if any(isinstance(value, Absent) for value in values):
            raise InvalidPrompt(
                f"Node {node_id} gave no value for its output {slot}.",
                remedy="Link another output, or update the pack that brings the node.",
            )
        return values

"""Results kept across prompts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.engine.signatures import Signatures
from app.engine.sizes import size_of
from app.graph.fingerprint import NodeKey

MOST_PREVIOUS = 20_000  # nodes of earlier prompts that reasons are told from


@dataclass(frozen=True, slots=True)
class Entry:
    """A node's result: one list of values for each output, and what clients were shown."""

    values: tuple[list[Any], ...]
    ui: Mapping[str, list[Any]] | None = None


class Cache:
    """Entries by node key; the least recently used leave first once a limit is passed.

    `max_bytes` limits what `size_of` says of the entries, `max_entries` their number (0 keeps nothing), and
    `latest_only` keeps only what the latest prompt is made of.
    """

    def __init__(
        self,
        *,
        max_bytes: int | None = None,
        max_entries: int | None = None,
        latest_only: bool = False,
        size_of: Callable[[object], int] = size_of,
    ):
        self.max_bytes = max_bytes
        self.max_entries = max_entries
        self.latest_only = latest_only
        self.signatures = Signatures()
        self._previous: OrderedDict[tuple[str, str], NodeKey] = OrderedDict()  # the latest prompt's come last
        self._size_of = size_of
        self._entries: OrderedDict[str, tuple[Entry, int]] = OrderedDict()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """Bytes held by all entries."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def begin(self, keys: Collection[str]) -> None:
        """A prompt made of these keys starts: what it shares with earlier ones is fresh again."""
        if self.latest_only:
            for key in [key for key in self._entries if key not in keys]:
                self.drop(key)
        for key in keys:
            if key in self._entries:
                self._entries.move_to_end(key)

    def earlier(self, keys: Mapping[tuple[str, str], NodeKey]) -> dict[tuple[str, str], NodeKey]:
        """The key that each (node id, class) had in the latest prompt that held it; `keys` are the ones of now."""
        known = self._previous
        before = {name: known.pop(name) for name in keys if name in known}
        known.update(keys)
        while len(known) > max(MOST_PREVIOUS, len(keys)):
            known.popitem(last=False)
        return before

    def known_keys(self, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], NodeKey]:
        """What `earlier` would give, without taking note of anything."""
        found = {name: self._previous.get(name) for name in names}
        return {name: key for name, key in found.items() if key is not None}

    def get(self, key: str) -> Entry | None:
        """The entry, now the most recently used, or None."""
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    def size(self, entry: Entry) -> int:
        """Bytes that an entry holds."""
        return self._size_of((entry.values, entry.ui))

    def put(self, key: str, entry: Entry, size: int | None = None) -> None:
        """Stores an entry, and lets older ones go until the limits hold; one that can never fit is not stored."""
        self.drop(key)
        size = self.size(entry) if size is None else size
        if self.max_entries == 0 or (self.max_bytes is not None and size > self.max_bytes):
            return
        self._entries[key] = (entry, size)
        self._bytes += size
        while self._over():
            self.drop(next(iter(self._entries)))

    def drop(self, key: str) -> None:
        """Forgets one entry, if there."""
        dropped = self._entries.pop(key, None)
        if dropped is not None:
            self._bytes -= dropped[1]

    def clear(self) -> None:
        """Forgets all entries."""
        self._entries.clear()
        self._bytes = 0

    def _over(self) -> bool:
        too_many = self.max_entries is not None and len(self._entries) > self.max_entries
        return too_many or (self.max_bytes is not None and self._bytes > self.max_bytes)

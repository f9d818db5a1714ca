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
LOOK_AFTER_BYTES = 64 << 20  # of new results, before the machine is asked again what it has left
WORTH_DROPPING = 16 << 20  # smaller results give a machine that lacks memory nothing back


@dataclass(frozen=True, slots=True)
class Entry:
    """A node's result: one list of values for each output, and what clients were shown."""

    values: tuple[list[Any], ...]
    ui: Mapping[str, list[Any]] | None = None


@dataclass(frozen=True, slots=True)
class Headroom:
    """Memory that results leave to the rest of the machine.

    `free_bytes` tells what the machine has left. Less than `active` and results go, oldest first; less than `idle` and
    those go that the latest prompt does not use. Bytes.
    """

    free_bytes: Callable[[], int]
    active: int
    idle: int


class Cache:
    """Entries by node key; the least recently used leave first once a limit is passed.

    `max_bytes` limits what `size_of` says of the entries. `max_entries` limits their number (0 keeps nothing), but the
    results of the latest prompt stay together, however many they are: half of them would serve nobody. `latest_only`
    keeps only what the latest prompt is made of, and `headroom` lets large results go where the machine lacks memory.
    """

    def __init__(
        self,
        *,
        max_bytes: int | None = None,
        max_entries: int | None = None,
        latest_only: bool = False,
        headroom: Headroom | None = None,
        size_of: Callable[[object], int] = size_of,
    ):
        self.max_bytes = max_bytes
        self.max_entries = max_entries
        self.latest_only = latest_only
        self.headroom = headroom
        self.signatures = Signatures()
        self._previous: OrderedDict[tuple[str, str], NodeKey] = OrderedDict()  # the latest prompt's come last
        self._rounds: OrderedDict[str, int] = OrderedDict()
        self._size_of = size_of
        self._entries: OrderedDict[str, tuple[Entry, int]] = OrderedDict()
        self._bytes = 0
        self._unlooked = 0  # bytes put since the machine was asked
        # What the latest prompt has used, which is always last in the order; only where that makes a difference.
        self._fresh: set[str] | None = set() if max_entries is not None or headroom is not None else None

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
        self._fresh = None if self._fresh is None else set()
        for key in keys:
            if key in self._entries:
                self._touch(key)
        self._shrink()
        self._leave_room()

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

    def note_rounds(self, keys: Iterable[str], count: int) -> None:
        """So many rounds of a loop are stored, whose body has these keys in the prompt."""
        for key in keys:
            self._rounds[key] = max(count, self._rounds.pop(key, 0))
        while len(self._rounds) > MOST_PREVIOUS:
            self._rounds.popitem(last=False)

    def rounds_done(self, key: str) -> int:
        """How many rounds of a node in a loop's body have been stored."""
        return self._rounds.get(key, 0)

    def get(self, key: str) -> Entry | None:
        """The entry, now the most recently used, or None."""
        found = self._entries.get(key)
        if found is None:
            return None
        self._touch(key)
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
        self._touch(key)
        self._shrink()
        self._unlooked += size
        if self._unlooked > LOOK_AFTER_BYTES:
            self._leave_room()

    def drop(self, key: str) -> None:
        """Forgets one entry, if there."""
        dropped = self._entries.pop(key, None)
        if dropped is not None:
            self._bytes -= dropped[1]
            if self._fresh is not None:
                self._fresh.discard(key)

    def clear(self) -> None:
        """Forgets all entries."""
        self._entries.clear()
        self._rounds.clear()
        self._bytes = 0
        self._fresh = None if self._fresh is None else set()

    def _touch(self, key: str) -> None:
        self._entries.move_to_end(key)
        if self._fresh is not None:
            self._fresh.add(key)

    def _shrink(self) -> None:
        """Lets the oldest entries go until the limits hold."""
        while self.max_bytes is not None and self._bytes > self.max_bytes:
            self.drop(next(iter(self._entries)))
        while self.max_entries is not None and len(self._entries) > self.max_entries:
            oldest = next(iter(self._entries))
            if oldest in (self._fresh or ()):
                break
            self.drop(oldest)

    def _leave_room(self) -> None:
        """Lets old results go if the machine has less memory left than they are to leave."""
        self._unlooked = 0
        if self.headroom is None or self._bytes < WORTH_DROPPING:
            return
        free = self.headroom.free_bytes()
        if free >= max(self.headroom.active, self.headroom.idle):
            return
        for key, (_, size) in list(self._entries.items()):
            fresh = key in (self._fresh or ())
            if size >= WORTH_DROPPING and free < (self.headroom.active if fresh else self.headroom.idle):
                self.drop(key)
                free += size

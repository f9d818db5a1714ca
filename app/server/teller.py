"""What is told of one worker's jobs, in its order, although the end of a job has to reach the disk before it is told.

A worker is at its next job by then. What that one has to say waits behind the end of the one before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

Telling = Callable[[], None]  # sends a message to whom it concerns


@dataclass(eq=False, slots=True)
class Held:
    """A place for what is told of an end that is being written; `tellings` once it has been."""

    tellings: tuple[Telling, ...] | None = None


@dataclass(slots=True)
class Teller:
    """Tells one thing after the other. All of it happens on the event loop."""

    _waiting: deque[Telling | Held] = field(default_factory=lambda: deque[Telling | Held]())
    _releasing: bool = False

    def tell(self, telling: Telling) -> None:
        """Tell this, once what is held before it has been released."""
        if self._waiting or self._releasing:
            self._waiting.append(telling)
        else:
            telling()

    def hold(self) -> Held:
        """Keep a place. All that is told from now on waits until it is released."""
        held = Held()
        self._waiting.append(held)
        return held

    def release(self, held: Held, tellings: Iterable[Telling] = ()) -> None:
        """Tell these in that place, and then what waited for them. Without any the place just goes."""
        held.tellings = tuple(tellings)
        self._releasing = True
        try:
            while self._waiting:
                first = self._waiting[0]
                if isinstance(first, Held) and first.tellings is None:
                    return
                self._waiting.popleft()
                for telling in (first.tellings or ()) if isinstance(first, Held) else (first,):
                    telling()
        finally:
            self._releasing = False

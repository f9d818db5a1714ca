"""When a training run ends and how its learning rate moves: by wall-clock, so that any machine fills the time given."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Pace:
    """A budget of seconds, and the seconds spent in this and earlier sittings of the same run."""

    budget: float
    spent: float = 0.0
    clock: Callable[[], float] = time.monotonic
    _since: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._since = self.clock()

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return self.spent + self.clock() - self._since

    @property
    def fraction(self) -> float:
        """Share of the budget used, 0..1."""
        return min(self.seconds / self.budget, 1.0)

    @property
    def over(self) -> bool:
        """Whether the budget is used up."""
        return self.seconds >= self.budget


def cosine_rate(fraction: float, step: int, *, peak: float, warm_up: int = 200, floor: float = 0.02) -> float:
    """A learning rate: linear over the first `warm_up` steps, then a cosine from `peak` to `floor` · `peak`."""
    cosine = floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * min(fraction, 1.0)))
    return peak * cosine * min(1.0, (step + 1) / warm_up)

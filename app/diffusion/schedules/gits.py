"""GITS (arXiv:2405.11326): levels placed where the sampling trajectories of Stable Diffusion bend.

The authors published a table instead of a formula, data/gits.json: a row for each number of steps from 2 to 20 at each
coefficient from 0.80 to 1.50. The larger the coefficient, the more of the levels lie near the end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from torch import Tensor

from app.diffusion.schedules.curves import interpolated
from app.errors import InvalidRequest

FEWEST = 2  # steps of the first row


@dataclass(frozen=True, slots=True)
class GitsTable:
    """`levels` [98] of a dense trajectory, falling; `picks` by 100 · coefficient, then steps − 2: places among them."""

    levels: Sequence[float]
    picks: Mapping[int, Sequence[Sequence[int]]]

    def row(self, coefficient: float, steps: int) -> list[float]:
        """The steps + 1 published levels; those of the longest row for more steps than it has.

        The coefficient counts as the nearest published one. Raises InvalidRequest far from all of them.
        """
        hundredths = min(self.picks, key=lambda known: abs(known - 100 * coefficient))
        if not abs(hundredths - 100 * coefficient) < 5:
            raise InvalidRequest(
                f"GITS has no levels for the coefficient {coefficient}.",
                remedy=f"Choose one from {min(self.picks) / 100:.2f} to {max(self.picks) / 100:.2f}; 1.20 is usual.",
            )
        rows = self.picks[hundredths]
        inner = rows[min(max(steps, FEWEST) - FEWEST, len(rows) - 1)]
        return [self.levels[0], *(self.levels[place] for place in inner), self.levels[-1]]


@cache
def gits_table() -> GitsTable:
    """The published table, read once."""
    told = json.loads(resources.files("app.diffusion.schedules").joinpath("data", "gits.json").read_text("utf-8"))
    return GitsTable(told["levels"], {int(coefficient): rows for coefficient, rows in told["picks"].items()})


def gits(coefficient: float = 1.2, steps: int = 10, denoise: float = 1.0) -> Tensor:
    """The published levels, interpolated in log sigma beyond 20 steps, the last one set to zero. float32 [steps + 1].

    denoise < 1 keeps the last round(steps·denoise) steps; none at 0. Raises InvalidRequest for a coefficient that is
    not near 0.80 … 1.50.
    """
    return interpolated(gits_table().row(coefficient, steps), steps, denoise)

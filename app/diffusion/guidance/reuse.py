"""Steps that are not computed: where the answer hardly changes, the last one is carried on.

EasyCache (Zhou et al. 2025, arXiv:2507.02860). u is what the network is shown of x, v the direction (x − denoised)/σ,
which is a flow's output and a noise prediction's.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from app.diffusion.guidance.hooks import Around, Asked, GuidanceHooks
from app.diffusion.parameterization import ModelSampling

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reuse:
    """When answers are carried on: at levels from `start` down to `end`, while the error that adds up is small.

    `threshold` bounds the estimated change of v, relative to v itself, since the last computed step.
    """

    sampling: ModelSampling
    threshold: float
    start: float
    end: float
    told: bool = False

    def around(self, asked: Asked) -> Asked:
        """`asked` for one run; it is left out where its answers can be carried on."""
        return _Run(self, asked)


class _Run:
    """What one run remembers."""

    def __init__(self, plan: Reuse, asked: Asked) -> None:
        self._plan, self._asked = plan, asked
        self._ahead: list[Tensor] = []  # v − u of each answer at the last computed step
        self._before: tuple[Tensor, Tensor] | None = None  # u and the first v of the last step
        self._rate: float | None = None  # how much v changes for a change of u
        self._error = 0.0
        self._saved = self._steps = 0

    def __call__(self, x: Tensor, sigma: Tensor, /) -> list[Tensor]:
        shown = self._plan.sampling.scaled_input(x, sigma)
        self._steps += 1
        if self._carries_on(shown, float(sigma)):
            self._saved += 1
            self._before = shown, shown + self._ahead[0]
            if self._plan.told:
                log.info("Carried on at level %.4g: %d of %d calls saved.", float(sigma), self._saved, self._steps)
            return [x - sigma * (shown + ahead) for ahead in self._ahead]
        answers = self._asked(x, sigma)
        if float(sigma) > 0:
            self._learn(shown, [(x - answer) / sigma for answer in answers])
        return answers

    def _carries_on(self, shown: Tensor, level: float) -> bool:
        if self._before is None or self._rate is None or not self._plan.end <= level <= self._plan.start:
            return False
        before, direction = self._before
        if before.shape != shown.shape:
            return False
        self._error += self._rate * _size(shown - before) / max(_size(direction), 1e-12)
        return self._error < self._plan.threshold

    def _learn(self, shown: Tensor, directions: Sequence[Tensor]) -> None:
        if self._before is not None and self._before[0].shape == shown.shape:
            moved = _size(shown - self._before[0])
            self._rate = _size(directions[0] - self._before[1]) / moved if moved > 0 else None
        self._ahead = [direction - shown for direction in directions]
        self._before = shown, directions[0]
        self._error = 0.0


def _size(value: Tensor) -> float:
    return float(value.abs().mean())


def each_alone(hooks: GuidanceHooks) -> GuidanceHooks:
    """The same for pictures that must not depend on their batch: what is left out is decided for each by itself."""
    return replace(
        hooks,
        reuse=tuple(_for_each(around) for around in hooks.reuse),
        reuse_guided=tuple(_for_each(around) for around in hooks.reuse_guided),
    )


def _for_each(around: Around) -> Around:
    return lambda asked: _Each(around, asked)


class _Each:
    """One run, in which every image of the batch has a memory of its own.

    Conditions and masks belong to places in the batch, so that the whole batch is asked as soon as one image needs it;
    the others carry on with what they remember even then.
    """

    def __init__(self, around: Around, asked: Asked) -> None:
        self._around, self._asked = around, asked
        self._images: list[Asked] = []
        self._found: list[Tensor] | None = None  # the batch's answers in the call at hand
        self._batch = torch.empty(0)

    def __call__(self, x: Tensor, sigma: Tensor, /) -> list[Tensor]:
        self._batch, self._found = x, None
        while len(self._images) < len(x):
            self._images.append(self._around(self._of_image(len(self._images))))
        apart = [image(x[place : place + 1], sigma) for place, image in zip(range(len(x)), self._images, strict=False)]
        return [torch.cat(answers) for answers in zip(*apart, strict=True)]

    def _of_image(self, place: int) -> Asked:
        def asked(_: Tensor, sigma: Tensor) -> list[Tensor]:
            if self._found is None:
                self._found = self._asked(self._batch, sigma)
            return [answer[place : place + 1] for answer in self._found]

        return asked

"""Many conditions, two sides, one denoiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from app.diffusion.denoiser import Denoiser
from app.diffusion.guidance.classifier_free import Blend, Guided, blend, is_one, rows
from app.diffusion.guidance.conditions import Condition, matched
from app.errors import OutOfMemory

# denoise(x, sigma, **arguments)
ConditionedDenoiser = Callable[..., Tensor]

# A weight this small keeps cells that nothing covers at zero instead of undefined.
NOTHING = 1e-37
# Prompts of different lengths are repeated to a common one up to this factor; beyond it they run apart.
LONGEST_REPEAT = 4


@dataclass(frozen=True)
class GuidanceHooks:
    """What other nodes have a say in.

    before: (answers [positive, negative], x, sigma) → answers; combine: replaces the guidance formula;
    after: (guided, positive, negative, x, sigma) → guided, each in turn.
    """

    before: tuple[Callable[[tuple[Tensor, Tensor], Tensor, Tensor], tuple[Tensor, Tensor]], ...] = ()
    combine: Blend | None = None
    after: tuple[Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor], ...] = ()
    needs_unconditional: bool = False


def guided_denoiser(
    denoise: ConditionedDenoiser,
    positive: Sequence[Condition],
    negative: Sequence[Condition],
    scale: float,
    *,
    hooks: GuidanceHooks | None = None,
    keep_unconditional: bool = False,
) -> Denoiser:
    """Guide from the negative conditions towards the positive ones; cond and uncond share calls where they can.

    A scale of 1 computes the positive side alone, unless hooks or CFG++ (`keep_unconditional`) need the other.
    """
    hooks = hooks or GuidanceHooks()
    positive, negative = matched(positive, negative), matched(negative, positive)
    if is_one(scale) and not keep_unconditional and not hooks.needs_unconditional and hooks == GuidanceHooks():
        return lambda x, sigma: weighted_answers(denoise, [positive], x, sigma)[0]

    def pair(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        yes, no = weighted_answers(denoise, [positive, negative], x, sigma)
        for hook in hooks.before:
            yes, no = hook((yes, no), x, sigma)
        return yes, no

    def combined(yes: Tensor, no: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        guided = hooks.combine(yes, no, x, sigma) if hooks.combine else blend(yes, no, scale)
        for hook in hooks.after:
            guided = hook(guided, yes, no, x, sigma)
        return guided

    return Guided(pair, combined)


def weighted_answers(
    denoise: ConditionedDenoiser, sides: Sequence[Sequence[Condition]], x: Tensor, sigma: Tensor
) -> list[Tensor]:
    """For each side, the average of its active conditions' answers, by strength, mask and area. Shaped as x."""
    level = float(sigma)
    totals = [torch.zeros_like(x) for _ in sides]
    weights = [torch.full_like(x, NOTHING) for _ in sides]
    jobs = [
        _Job(side, c, x if c.area is None else c.area.of(x), c.weight(x))
        for side, conditions in enumerate(sides)
        for c in conditions
        if c.active(level)
    ]
    # Defaults come last, because they take what the others leave.
    jobs.sort(key=lambda job: job.condition.is_default)
    for job in jobs:
        part = _part(weights[job.side], job)
        if job.condition.is_default:
            job.weight = job.weight * (1 - part).clamp(min=0)
        part += job.weight
    for job, answer in zip(jobs, _answers(denoise, jobs, sigma), strict=True):
        part = _part(totals[job.side], job)
        part += answer * job.weight
    return [total / weight for total, weight in zip(totals, weights, strict=True)]


@dataclass
class _Job:
    """One condition at one step: the part of x it sees and how much its answer counts there."""

    side: int
    condition: Condition
    x: Tensor
    weight: Tensor


def _part(value: Tensor, job: _Job) -> Tensor:
    return value if job.condition.area is None else job.condition.area.of(value)


def _answers(denoise: ConditionedDenoiser, jobs: Sequence[_Job], sigma: Tensor) -> list[Tensor]:
    """One answer per job, in their order, from as few calls as the shapes and the memory allow."""
    answers: dict[int, Tensor] = {}
    waiting = list(range(len(jobs)))
    while waiting:
        group = [i for i in waiting if _together(jobs[waiting[0]], jobs[i])]
        group = group if _common_length([jobs[i] for i in group]) else group[:1]
        answers.update(zip(group, _run(denoise, [jobs[i] for i in group], sigma), strict=True))
        waiting = [i for i in waiting if i not in answers]
    return [answers[i] for i in range(len(jobs))]


def _run(denoise: ConditionedDenoiser, jobs: Sequence[_Job], sigma: Tensor) -> list[Tensor]:
    try:
        return _call(denoise, jobs, sigma)
    except (torch.OutOfMemoryError, OutOfMemory):
        if len(jobs) == 1:
            raise
    half = len(jobs) // 2
    return _run(denoise, jobs[:half], sigma) + _run(denoise, jobs[half:], sigma)


def _call(denoise: ConditionedDenoiser, jobs: Sequence[_Job], sigma: Tensor) -> list[Tensor]:
    count = len(jobs[0].x)
    x = torch.cat([job.x for job in jobs])
    length = _common_length(jobs)
    arguments = {
        key: _stacked([_fitted(key, job, length) for job in jobs], count) for key in jobs[0].condition.arguments
    }
    adjust = jobs[0].condition.adjust
    extra: Mapping[str, Any] = adjust(x, sigma, arguments) if adjust else {}
    return list(torch.split(denoise(x, sigma, **arguments, **extra), count))


def _stacked(values: Sequence[Any], count: int) -> Any:
    return torch.cat([rows(v, count) for v in values]) if isinstance(values[0], Tensor) else values[0]


def _fitted(key: str, job: _Job, length: int | None) -> Any:
    """An argument as the job's call takes it: channels beside the latent are cut to the area as it is."""
    value, area = job.condition.arguments[key], job.condition.area
    if key == "concat":
        return value if area is None else area.of(value)
    return _lengthened(key, value, length)


def _lengthened(key: str, value: Any, length: int | None) -> Any:
    if key != "context" or not length or value.shape[1] == length:
        return value
    return value.repeat(1, length // value.shape[1], *(1 for _ in value.shape[2:]))


def _together(first: _Job, second: _Job) -> bool:
    a, b = first.condition, second.condition
    if first.x.shape != second.x.shape or a.adjust is not b.adjust or a.arguments.keys() != b.arguments.keys():
        return False
    return all(_stackable(key, a.arguments[key], b.arguments[key]) for key in a.arguments)


def _stackable(key: str, a: Any, b: Any) -> bool:
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        return a is b or (not isinstance(a, Tensor) and not isinstance(b, Tensor) and a == b)
    first = 2 if key == "context" else 1
    if a.shape[first:] != b.shape[first:] or a.dtype != b.dtype:
        return False
    if key != "context":
        return True
    return math.lcm(a.shape[1], b.shape[1]) <= LONGEST_REPEAT * min(a.shape[1], b.shape[1])


def _common_length(jobs: Sequence[_Job]) -> int | None:
    """The token length that all contexts can be repeated to; None if that is too long or there is no context."""
    lengths = [len(c[0]) for job in jobs if isinstance(c := job.condition.arguments.get("context"), Tensor)]
    if not lengths:
        return 1
    common = math.lcm(*lengths)
    return common if common <= LONGEST_REPEAT * min(lengths) else None

"""Many conditions, two sides, one denoiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from app.diffusion.denoiser import Denoiser
from app.diffusion.guidance.classifier_free import blend, is_one, rows
from app.diffusion.guidance.conditions import Condition, Entry, matched
from app.diffusion.guidance.hooks import Answers, Around, Ask, Asked, GuidanceHooks, Side
from app.diffusion.models.hooks import NetworkHooks
from app.errors import InvalidRequest, OutOfMemory, is_out_of_memory

# denoise(x, sigma, **arguments)
ConditionedDenoiser = Callable[..., Tensor]

# A weight this small keeps cells that nothing covers at zero instead of undefined.
NOTHING = 1e-37
# Prompts of different lengths are repeated to a common one up to this factor; beyond it they run apart.
LONGEST_REPEAT = 4


# Further conditioning, resolved as the two sides were.
Resolve = Callable[[Sequence[Entry]], list[Condition]]


class _Sides:
    """The sides of one guided denoiser, and how they are asked."""

    def __init__(
        self,
        denoise: ConditionedDenoiser,
        sides: Sequence[Sequence[Condition]],
        hooks: GuidanceHooks,
        resolve: Resolve | None,
    ):
        self._denoise, self._sides, self._hooks, self._resolve = denoise, sides, hooks, resolve
        # Conditioning that hooks ask about, resolved once. The entries are kept, so that their identity stays theirs.
        self._further: dict[int, tuple[Sequence[Entry], list[Condition]]] = {}
        self._prepared = Prepared(getattr(denoise, "prepared", None))

    def all(self, x: Tensor, sigma: Tensor) -> list[Tensor]:
        """What each side says; the negative one, the second, apart where something changes the network for it."""
        level = float(sigma)
        usual, apart = (self._hooks.network_at(level, negative=negative) for negative in (False, True))
        if len(self._sides) < 2 or not self._hooks.negative_network or apart == usual:
            return self._asked(self._sides, x, sigma, usual)
        rest = self._asked([*self._sides[:1], *self._sides[2:]], x, sigma, usual)
        return [rest[0], *self._asked(self._sides[1:2], x, sigma, apart), *rest[1:]]

    def again(self, sigma: Tensor) -> Ask:
        """Lets hooks ask at this level."""

        def ask(said: Side | Sequence[Entry], x: Tensor, hooks: NetworkHooks | None = None, /) -> Tensor:
            at = self._hooks.network_at(float(sigma), negative=said == "negative")
            conditions = self._sides[said == "negative"] if isinstance(said, str) else self._resolved(said)
            return self._asked([conditions], x, sigma, at | hooks if hooks else at)[0]

        return ask

    def _resolved(self, entries: Sequence[Entry]) -> list[Condition]:
        if id(entries) not in self._further:
            if self._resolve is None:
                raise InvalidRequest(
                    "This guidance cannot take further conditioning.", remedy="Guide with a guider that takes it."
                )
            self._further[id(entries)] = entries, self._resolve(entries)
        return self._further[id(entries)][1]

    def _asked(
        self, sides: Sequence[Sequence[Condition]], x: Tensor, sigma: Tensor, network: NetworkHooks
    ) -> list[Tensor]:
        for spread in self._hooks.spread:
            sides = [spread(side, x) for side in sides]
        denoise = _with_hooks(self._denoise, network) if network else self._denoise
        return weighted_answers(denoise, sides, x, sigma, self._prepared)


def _with_hooks(denoise: ConditionedDenoiser, network: NetworkHooks) -> ConditionedDenoiser:
    def hooked(x: Tensor, sigma: Tensor, hooks: NetworkHooks | None = None, **arguments: Any) -> Tensor:
        return denoise(x, sigma, hooks=network if hooks is None else network | hooks, **arguments)

    return hooked


def guided_denoiser(
    denoise: ConditionedDenoiser,
    positive: Sequence[Condition],
    negative: Sequence[Condition],
    scale: float,
    *,
    hooks: GuidanceHooks | None = None,
    keep_unconditional: bool = False,
    resolve: Resolve | None = None,
) -> Denoiser:
    """Guide from the negative conditions towards the positive ones; cond and uncond share calls where they can.

    A scale of 1 computes the positive side alone, unless hooks or CFG++ (`keep_unconditional`) need the other.
    """
    hooks = hooks or GuidanceHooks()
    both = [matched(positive, negative), matched(negative, positive)]
    alone = is_one(scale) and not keep_unconditional and not hooks.needs_negative
    asked = _Sides(denoise, both, hooks, resolve)
    first = _Sides(denoise, both[:1], hooks, resolve)
    ask = _seldom(hooks.reuse, first.all if alone else asked.all)

    def answers(x: Tensor, sigma: Tensor) -> Answers:
        yes, no = ask(x, sigma) * 2 if alone else ask(x, sigma)
        found = Answers(yes, no, x, sigma, scale, asked.again(sigma))
        for hook in hooks.before:
            found = hook(found)
        return found

    def combined(found: Answers) -> Tensor:
        guided = hooks.combine(found) if hooks.combine and not alone else blend(found.positive, found.negative, scale)
        return _finished(guided, found, hooks)

    if alone:
        result = _seldom(hooks.reuse_guided, lambda x, sigma: [combined(answers(x, sigma))])
        return lambda x, sigma: result(x, sigma)[0]
    return _Answered(
        _seldom(hooks.reuse_guided, lambda x, sigma: [combined(found := answers(x, sigma)), found.negative])
    )


def sided_denoiser(
    denoise: ConditionedDenoiser,
    sides: Sequence[Sequence[Condition]],
    combine: Callable[[Sequence[Tensor]], Tensor],
    *,
    hooks: GuidanceHooks | None = None,
    resolve: Resolve | None = None,
) -> Denoiser:
    """Guide by a formula over any number of sides: the first is the positive one, the last what says nothing."""
    hooks = hooks or GuidanceHooks()
    asked = _Sides(denoise, sides, hooks, resolve)
    ask = _seldom(hooks.reuse, asked.all)

    def split(x: Tensor, sigma: Tensor) -> list[Tensor]:
        said = ask(x, sigma)
        found = Answers(said[0], said[-1], x, sigma, 1.0, asked.again(sigma))
        return [_finished(combine(said), found, hooks), said[-1]]

    return _Answered(_seldom(hooks.reuse_guided, split))


def _seldom(around: Sequence[Around], ask: Asked) -> Asked:
    for each in around:
        ask = each(ask)
    return ask


class _Answered:
    """A denoiser that can also tell the unconditional half."""

    def __init__(self, split: Asked):
        self._split = split

    def __call__(self, x: Tensor, sigma: Tensor, /) -> Tensor:
        return self._split(x, sigma)[0]

    def split(self, x: Tensor, sigma: Tensor, /) -> tuple[Tensor, Tensor]:
        """(guided denoised, unconditional denoised)."""
        guided, negative = self._split(x, sigma)
        return guided, negative


def _finished(guided: Tensor, found: Answers, hooks: GuidanceHooks) -> Tensor:
    for hook in hooks.after:
        guided = hook(guided, found)
    return guided


class Prepared:
    """What the network takes of conditions that share a call, made once in a run and then the very same tensors.

    `prepare(value, device)` gives a value the network's precision. Networks may keep what they make of such a tensor.
    """

    def __init__(self, prepare: Callable[[Any, torch.device], Any] | None = None):
        self._prepare = prepare
        self._made: dict[Any, tuple[list[Mapping[str, Any]], dict[str, Any]]] = {}

    def of(self, jobs: Sequence[_Job]) -> dict[str, Any]:
        """The arguments of one call."""
        x = jobs[0].x
        key = tuple((id(job.condition.arguments), job.condition.area) for job in jobs), tuple(x.shape), x.device
        if key not in self._made:
            length = _common_length(jobs)
            made = {
                name: _stacked([_fitted(name, job, length) for job in jobs], len(x))
                for name in jobs[0].condition.arguments
            }
            if self._prepare is not None:
                made = {name: self._prepare(value, x.device) for name, value in made.items()}
            # The conditions' own arguments are kept beside, so that their identity stays theirs.
            self._made[key] = [job.condition.arguments for job in jobs], made
        return self._made[key][1]


def weighted_answers(
    denoise: ConditionedDenoiser,
    sides: Sequence[Sequence[Condition]],
    x: Tensor,
    sigma: Tensor,
    prepared: Prepared | None = None,
) -> list[Tensor]:
    """For each side, the average of its active conditions' answers, by strength, mask and area. Shaped as x.

    `prepared` keeps from call to call what does not change.
    """
    prepared = prepared or Prepared()
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
    for job, answer in zip(jobs, _answers(denoise, jobs, sigma, prepared), strict=True):
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


def _answers(denoise: ConditionedDenoiser, jobs: Sequence[_Job], sigma: Tensor, prepared: Prepared) -> list[Tensor]:
    """One answer per job, in their order, from as few calls as the shapes and the memory allow."""
    answers: dict[int, Tensor] = {}
    waiting = list(range(len(jobs)))
    while waiting:
        group = [i for i in waiting if _together(jobs[waiting[0]], jobs[i])]
        group = group if _common_length([jobs[i] for i in group]) else group[:1]
        answers.update(zip(group, _run(denoise, [jobs[i] for i in group], sigma, prepared), strict=True))
        waiting = [i for i in waiting if i not in answers]
    return [answers[i] for i in range(len(jobs))]


def _run(denoise: ConditionedDenoiser, jobs: Sequence[_Job], sigma: Tensor, prepared: Prepared) -> list[Tensor]:
    try:
        return _call(denoise, jobs, sigma, prepared)
    except (RuntimeError, MemoryError, OutOfMemory) as error:
        if len(jobs) == 1 or not is_out_of_memory(error):
            raise
    half = len(jobs) // 2
    return [*_run(denoise, jobs[:half], sigma, prepared), *_run(denoise, jobs[half:], sigma, prepared)]


def _call(denoise: ConditionedDenoiser, jobs: Sequence[_Job], sigma: Tensor, prepared: Prepared) -> list[Tensor]:
    count = len(jobs[0].x)
    x = torch.cat([job.x for job in jobs])
    arguments = prepared.of(jobs)
    adjust, variant = jobs[0].condition.adjust, jobs[0].condition.variant
    chosen: Mapping[str, Any] = {} if variant is None else {"network": variant.at(float(sigma))}
    extra: Mapping[str, Any] = adjust(x, sigma, {**arguments, **chosen}) if adjust else {}
    return list(torch.split(denoise(x, sigma, **arguments, **extra, **chosen), count))


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
    if first.x.shape != second.x.shape or a.adjust != b.adjust or a.variant is not b.variant:
        return False
    if a.arguments.keys() != b.arguments.keys():
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

"""Changes of weights that go with a conditioning: each prompt may have a LoRA of its own, at a strength that changes.

A network under hooks is a twin of the model's (see `adapters.twin`), made when its strengths come up and kept until
they change, so that a prompt whose strengths stay costs no more than one whose model was loaded that way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from torch import nn

from app.diffusion.adapters.merge import departed
from app.diffusion.conditioning.text_encoder import PromptEncoder
from app.diffusion.guidance.keyframes import Keyframes, factor_at
from app.diffusion.model import DiffusionModel


class WeightChange(Protocol):
    """A LoRA, or another checkpoint's difference."""

    def changed_model(self, model: DiffusionModel, strength: float) -> DiffusionModel:
        """The model with the change; itself where the change is for text encoders alone. Raises InvalidRequest."""
        ...

    def changed_clip(self, clip: PromptEncoder, strength: float) -> PromptEncoder:
        """The text encoder with the change; itself where there is none for it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class WeightHook:
    """A change with its strengths, and how they vary on the way."""

    change: WeightChange
    strength_model: float = 1.0
    strength_clip: float = 1.0
    keyframes: Keyframes = ()


@dataclass(frozen=True, slots=True)
class WeightHooks:
    """Hooks that work together, the first one first. Two are equal that hold the very same hooks."""

    hooks: tuple[WeightHook, ...] = ()

    def __or__(self, other: WeightHooks | None) -> WeightHooks:
        """Both, this one's first; what both hold counts once."""
        return self if other is None else WeightHooks(tuple(dict.fromkeys((*self.hooks, *other.hooks))))

    def with_keyframes(self, keyframes: Keyframes) -> WeightHooks:
        """The same changes with other keyframes."""
        return WeightHooks(tuple(replace(hook, keyframes=keyframes) for hook in self.hooks))

    def applied_to_clip(self, clip: PromptEncoder, factors: tuple[float, ...] = ()) -> PromptEncoder:
        """The text encoder with all changes; `factors` on the strengths, one a hook, 1 where there are none."""
        for place, hook in enumerate(self.hooks):
            strength = hook.strength_clip * (factors[place] if factors else 1.0)
            clip = hook.change.changed_clip(clip, strength) if strength else clip
        return clip


def hooks_together(*hooks: WeightHooks | None) -> WeightHooks:
    """All that are there, in their order."""
    gathered = WeightHooks()
    for each in hooks:
        gathered = gathered | each
    return gathered


class HookedNetworks:
    """The networks of one run, by the hooks of its conditions."""

    def __init__(self, model: DiffusionModel) -> None:
        self._model = model
        self._variants: dict[WeightHooks, HookedNetwork] = {}

    def of(self, hooks: WeightHooks) -> HookedNetwork:
        """The network under these hooks; the very same for the same hooks."""
        if hooks not in self._variants:
            self._variants[hooks] = HookedNetwork(self._model, hooks)
        return self._variants[hooks]


class HookedNetwork:
    """A model's network as its hooks have it at a noise level."""

    def __init__(self, model: DiffusionModel, hooks: WeightHooks) -> None:
        self._model, self._hooks = model, hooks
        self._made: tuple[tuple[float, ...], nn.Module] | None = None

    def strengths(self, sigma: float) -> tuple[float, ...]:
        """The strength of each hook at this level."""
        sampling = self._model.sampling
        return tuple(hook.strength_model * factor_at(hook.keyframes, sigma, sampling) for hook in self._hooks.hooks)

    def at(self, sigma: float) -> nn.Module:
        """The network at this level; the last one is kept while its strengths are asked for."""
        strengths = self.strengths(sigma)
        if self._made is None or self._made[0] != strengths:
            self._made = None  # the last one's memory is free before the next one's is taken
            changed = self._model
            for hook, strength in zip(self._hooks.hooks, strengths, strict=True):
                changed = hook.change.changed_model(changed, strength) if strength else changed
            self._made = strengths, changed.network
        return self._made[1]


@dataclass(frozen=True, slots=True)
class OtherWeights:
    """See `WeightChange`: another checkpoint of the family, as if the difference were a LoRA. None changes nothing."""

    model: DiffusionModel | None = None
    clip: PromptEncoder | None = None

    def changed_model(self, model: DiffusionModel, strength: float) -> DiffusionModel:
        """See `WeightChange`."""
        if self.model is None:
            return model
        return replace(model, network=departed(model.network, self.model.network, strength))

    def changed_clip(self, clip: PromptEncoder, strength: float) -> PromptEncoder:
        """See `WeightChange`; towers that the other one does not have stay."""
        if self.clip is None:
            return clip
        theirs = self.clip.towers
        return clip.with_towers(
            {name: departed(tower, theirs[name], strength) for name, tower in clip.towers.items() if name in theirs}
        )

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from app.diffusion.adapters.change import Edit, Place
from app.diffusion.adapters.full import Difference
from app.diffusion.adapters.twin import with_edits
from app.diffusion.conditioning.entries import hooked, with_options
from app.diffusion.drawing import guider
from app.diffusion.guidance.keyframes import Keyframe
from app.diffusion.guidance.weight_hooks import HookedNetworks, OtherWeights, WeightHook, WeightHooks, hooks_together
from app.diffusion.latent_format import LatentFormat
from app.diffusion.model import DiffusionModel
from app.diffusion.parameterization.model_sampling import flow
from app.errors import InvalidRequest

X = torch.ones(1, 1, 4, 4)
HALF = torch.tensor(0.5)


class Scaling(nn.Module):
    """Answers x times its weight, so that a flow's clean latent is x · (1 − sigma · weight)."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([weight]), requires_grad=False)

    def forward(self, x: torch.Tensor, timesteps: torch.Tensor, context: torch.Tensor, **_: Any) -> torch.Tensor:
        return x * self.weight


class Raise:
    """Adds a number to the weight, as a LoRA would, and counts how often it is asked to."""

    def __init__(self, by: float) -> None:
        self.by, self.asked = by, 0

    def changed_model(self, model: DiffusionModel, strength: float) -> DiffusionModel:
        self.asked += 1
        edit = Edit(Place("weight"), Difference(torch.tensor([self.by])), strength)
        return replace(model, network=with_edits(model.network, [edit]))

    def changed_clip(self, clip: Any, strength: float) -> Any:
        return (*clip, strength)


def model(weight: float = 1.0) -> DiffusionModel:
    return DiffusionModel(Scaling(weight), flow(), LatentFormat(1), lambda latent: latent, "test")


def said(**options: Any) -> list[list[Any]]:
    return [[torch.zeros(1, 2, 3), options]]


def raising(by: float, strength: float = 1.0, *frames: Keyframe) -> WeightHooks:
    return WeightHooks((WeightHook(Raise(by), strength, keyframes=frames),))


def answer(made: DiffusionModel, entries: Any, sigma: torch.Tensor = HALF, **more: Any) -> torch.Tensor:
    return guider(made, entries, **more).denoiser(X, False)(X, sigma)


def test_a_prompt_is_answered_by_its_own_weights() -> None:
    given = model()
    changed = answer(given, hooked(said(), raising(0.4, 0.5)))
    assert torch.allclose(changed, X * (1 - 0.5 * 1.2))
    assert torch.allclose(answer(given, said()), X * 0.5)
    assert given.network.get_parameter("weight") == 1.0


def test_prompts_with_different_hooks_share_a_picture() -> None:
    left = torch.zeros(1, 4, 4)
    left[..., :2] = 1
    entries = [
        *hooked(with_options(said(), mask=left), raising(0.4)),
        *hooked(with_options(said(), mask=1 - left), raising(-0.4)),
    ]
    found = answer(model(), entries)
    assert torch.allclose(found[..., :2], X[..., :2] * (1 - 0.5 * 1.4))
    assert torch.allclose(found[..., 2:], X[..., 2:] * (1 - 0.5 * 0.6))


def test_both_sides_are_guided_each_by_its_weights() -> None:
    found = answer(model(), hooked(said(), raising(0.4)), negative=said(), cfg=3.0)
    assert torch.allclose(found, X * (0.5 + 3.0 * (0.3 - 0.5)))


def test_strengths_follow_the_keyframes_and_weights_are_made_anew_only_then() -> None:
    hooks = raising(0.4, 0.5, Keyframe(0.0, 0.0), Keyframe(2.0, 0.5), Keyframe(2.0, 0.75))
    asks = guider(model(), hooked(said(), hooks)).denoiser(X, False)
    levels = [0.9, 0.6, 0.5, 0.4, 0.2]
    found = [asks(X, torch.tensor(level)).mean().item() for level in levels]
    weights = [1.0, 1.0, 1.4, 1.4, 1.4]
    assert found == pytest.approx([1 - level * weight for level, weight in zip(levels, weights, strict=True)])
    change = hooks.hooks[0].change
    assert isinstance(change, Raise)
    assert change.asked == 1


def test_hooks_add_up_and_none_counts_twice() -> None:
    first, second = raising(0.4), raising(0.2, 2.0)
    together = hooks_together(first, None, second, first)
    assert len(together.hooks) == 2
    assert torch.allclose(answer(model(), hooked(hooked(said(), first), second | first)), X * (1 - 0.5 * 1.8))
    assert first | second == together
    assert first.with_keyframes(()) != first


def test_the_same_hooks_are_one_network() -> None:
    hooks, networks = raising(0.1), HookedNetworks(model())
    assert networks.of(hooks) is networks.of(WeightHooks(hooks.hooks))
    assert networks.of(hooks).at(0.5) is networks.of(hooks).at(0.2)
    assert networks.of(raising(0.1)) is not networks.of(hooks)


def test_another_checkpoint_is_gone_to_part_of_the_way() -> None:
    other = OtherWeights(model(3.0))
    assert torch.allclose(answer(model(), hooked(said(), WeightHooks((WeightHook(other, 0.25),)))), X * (1 - 0.5 * 1.5))
    both = WeightHooks((WeightHook(Raise(1.0)), WeightHook(other, 0.25)))
    assert torch.allclose(answer(model(), hooked(said(), both)), X * (1 - 0.5 * 2.5))
    assert OtherWeights().changed_model(given := model(), 1.0) is given


def test_a_checkpoint_of_another_shape_is_refused() -> None:
    larger = replace(model(), network=nn.Linear(3, 3))
    with pytest.raises(InvalidRequest, match="differ in shape"):
        OtherWeights(larger).changed_model(model(), 1.0)


def test_text_encoders_get_their_strengths() -> None:
    hooks = WeightHooks((WeightHook(Raise(1.0), 1.0, 0.5), WeightHook(Raise(1.0), 1.0, 0.0)))
    clip: Any = ()
    assert hooks.applied_to_clip(clip) == (0.5,)
    assert hooks.applied_to_clip(clip, (3.0, 1.0)) == (1.5,)


class Packed(DiffusionModel):
    """A model that brings its own guidance."""

    def guided(self, positive: Any, negative: Any, cfg: float, like: torch.Tensor) -> Any:
        return lambda x, sigma: x

    def company(self) -> Any:
        return None

    def whole(self, positive: Any, negative: Any, cfg: float) -> None:
        return None


def test_a_packs_model_refuses_hooks_that_it_would_leave_out() -> None:
    packed = Packed(Scaling(), flow(), LatentFormat(1), lambda latent: latent, "test")
    assert torch.equal(answer(packed, said()), X)
    with pytest.raises(InvalidRequest, match="hooks of the conditioning"):
        answer(packed, hooked(said(), raising(0.1)))

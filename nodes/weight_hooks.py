"""Nodes that give each prompt changes of weights of its own, such as a LoRA, and let their strength vary on the way."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated, Any, cast

from app.api import Choice, Clip, Context, FileIn, InvalidRequest, Options, Port, Range, node
from app.diffusion.conditioning.hooked import HookedEncoder
from app.diffusion.guidance.keyframes import CURVES, Keyframe, Keyframes, added, interpolated, spread
from app.diffusion.guidance.weight_hooks import OtherWeights, WeightChange, WeightHook, WeightHooks, hooks_together

log = logging.getLogger(__name__)

Hooks = Annotated[WeightHooks, Port("HOOKS")]
Frames = Annotated[Keyframes, Port("HOOK_KEYFRAMES")]
NewFrames = Annotated[Keyframes, Port("HOOK_KEYFRAMES", "HOOK_KF")]
Strength = Annotated[float, Range(-20.0, 20.0, step=0.01)]
Factor = Annotated[float, Range(0.0, 10.0, step=0.001)]
Moment = Annotated[float, Range(0.0, 1.0, step=0.001)]
LoraName = Annotated[str, FileIn("loras")]
CheckpointName = Annotated[str, FileIn("checkpoints")]

CREATE, SCHEDULING, COMBINE = (f"advanced/hooks/{part}" for part in ("create", "scheduling", "combine"))


@node("Create Hook LoRA", category=CREATE, id="CreateHookLora", experimental=True, aliases=("regional lora",))
def create_hook_lora(
    *,
    context: Context,
    lora_name: LoraName,
    strength_model: Strength = 1.0,
    strength_clip: Strength = 1.0,
    prev_hooks: Hooks | None = None,
) -> Hooks:
    """A LoRA for those prompts that the hook is set on, and for no others.

    Args:
        lora_name: The file to load, from models/loras.
        strength_model: How much the diffusion model is changed.
        strength_clip: How much the text encoder is changed, where Set CLIP Hooks is used.
        prev_hooks: Hooks that come before.
    """
    if not strength_model and not strength_clip:
        return hooks_together(prev_hooks)
    return _hooked(prev_hooks, context.models.adapter(lora_name), strength_model, strength_clip)


@node("Create Hook LoRA (MO)", category=CREATE, id="CreateHookLoraModelOnly", experimental=True)
def create_hook_lora_model_only(
    *, context: Context, lora_name: LoraName, strength_model: Strength = 1.0, prev_hooks: Hooks | None = None
) -> Hooks:
    """A LoRA for those prompts that the hook is set on; the text encoder stays as it is.

    Args:
        lora_name: The file to load, from models/loras.
        strength_model: How much the diffusion model is changed.
        prev_hooks: Hooks that come before.
    """
    if not strength_model:
        return hooks_together(prev_hooks)
    return _hooked(prev_hooks, context.models.adapter(lora_name), strength_model, 0.0)


@node("Create Hook Model as LoRA", category=CREATE, id="CreateHookModelAsLora", experimental=True)
def create_hook_model_as_lora(
    *,
    context: Context,
    ckpt_name: CheckpointName,
    strength_model: Strength = 1.0,
    strength_clip: Strength = 1.0,
    prev_hooks: Hooks | None = None,
) -> Hooks:
    """Another checkpoint for those prompts that the hook is set on; a strength below 1 goes part of the way to it.

    Args:
        ckpt_name: A checkpoint of the same family, from models/checkpoints.
        strength_model: How far the diffusion model goes.
        strength_clip: How far the text encoder goes, where Set CLIP Hooks is used.
        prev_hooks: Hooks that come before.
    """
    found = context.models.checkpoint(ckpt_name)
    return _hooked(prev_hooks, OtherWeights(found.model, found.clip), strength_model, strength_clip)


@node("Create Hook Model as LoRA (MO)", category=CREATE, id="CreateHookModelAsLoraModelOnly", experimental=True)
def create_hook_model_as_lora_model_only(
    *, context: Context, ckpt_name: CheckpointName, strength_model: Strength = 1.0, prev_hooks: Hooks | None = None
) -> Hooks:
    """Another checkpoint for those prompts that the hook is set on; the text encoder stays as it is.

    Args:
        ckpt_name: A checkpoint of the same family, from models/checkpoints.
        strength_model: How far the diffusion model goes.
        prev_hooks: Hooks that come before.
    """
    return _hooked(prev_hooks, OtherWeights(context.models.checkpoint(ckpt_name).model), strength_model, 0.0)


def _hooked(before: WeightHooks | None, change: WeightChange, model: float, clip: float) -> WeightHooks:
    return hooks_together(before, WeightHooks((WeightHook(change, model, clip),)))


@node("Create Hook Keyframe", category=SCHEDULING, id="CreateHookKeyframe", experimental=True)
def create_hook_keyframe(
    *, strength_mult: Strength = 1.0, start_percent: Moment = 0.0, prev_hook_kf: Frames | None = None
) -> NewFrames:
    """A factor on the strength of hooks from a moment on.

    Args:
        strength_mult: The factor.
        start_percent: When it begins to count; 0 is the first step.
        prev_hook_kf: Keyframes to which this one is added.
    """
    return added(prev_hook_kf or (), [Keyframe(strength_mult, start_percent)])


@node("Create Hook Keyframes Interp.", category=SCHEDULING, id="CreateHookKeyframesInterpolated", experimental=True)
def create_hook_keyframes_interpolated(
    *,
    strength_start: Factor = 1.0,
    strength_end: Factor = 1.0,
    interpolation: Annotated[str, Choice(*CURVES)],
    start_percent: Moment = 0.0,
    end_percent: Moment = 1.0,
    keyframes_count: Annotated[int, Range(2, 100, step=1)] = 5,
    print_keyframes: bool = False,
    prev_hook_kf: Frames | None = None,
) -> NewFrames:
    """Factors on the strength of hooks that go from one value to another.

    Args:
        interpolation: Whether they go evenly, or begin or end slowly.
        keyframes_count: In how many steps; each one computes the changed weights anew.
        print_keyframes: Whether the log tells the factors.
        prev_hook_kf: Keyframes to which these are added.
    """
    strengths = interpolated(strength_start, strength_end, interpolation, keyframes_count)
    return _told(added(prev_hook_kf or (), spread(strengths, start_percent, end_percent)), print_keyframes)


@node("Create Hook Keyframes From Floats", category=SCHEDULING, id="CreateHookKeyframesFromFloats", experimental=True)
def create_hook_keyframes_from_floats(
    *,
    floats_strength: Annotated[Any, Port("FLOATS"), Options(default=-1, min=-1, step=0.001, forceInput=True)],
    start_percent: Moment = 0.0,
    end_percent: Moment = 1.0,
    print_keyframes: bool = False,
    prev_hook_kf: Frames | None = None,
) -> NewFrames:
    """Factors on the strength of hooks from a list of numbers.

    Args:
        floats_strength: The factors, spread evenly over the part of the way.
        print_keyframes: Whether the log tells the factors.
        prev_hook_kf: Keyframes to which these are added.
    """
    given: list[Any] = [floats_strength]
    if isinstance(floats_strength, list | tuple):
        given = list(cast("Sequence[Any]", floats_strength))
    wrong = [each for each in given if isinstance(each, bool) or not isinstance(each, int | float)]
    if wrong or not given:
        raise InvalidRequest(
            f"{wrong[0]!r} is no number." if wrong else "The list is empty.",
            remedy="Link a list of numbers.",
            input_name="floats_strength",
        )
    return _told(added(prev_hook_kf or (), spread(given, start_percent, end_percent)), print_keyframes)


def _told(keyframes: Keyframes, wanted: bool) -> Keyframes:
    if wanted:
        log.info("Keyframes: %s", ", ".join(f"{each.strength:g} from {each.start:.1%} on" for each in keyframes))
    return keyframes


@node("Set Hook Keyframes", category=SCHEDULING, id="SetHookKeyframes", experimental=True)
def set_hook_keyframes(*, hooks: Hooks, hook_kf: Frames | None = None) -> Hooks:
    """Lets the strength of hooks vary on the way.

    Args:
        hook_kf: The factors on the strength; without any the hooks stay as they are.
    """
    return hooks if hook_kf is None else hooks.with_keyframes(hook_kf)


@node("Combine Hooks [2]", category=COMBINE, id="CombineHooks2", experimental=True)
def combine_hooks_2(*, hooks_A: Hooks | None = None, hooks_B: Hooks | None = None) -> Hooks:
    """Hooks that work together."""
    return hooks_together(hooks_A, hooks_B)


@node("Combine Hooks [4]", category=COMBINE, id="CombineHooks4", experimental=True)
def combine_hooks_4(
    *,
    hooks_A: Hooks | None = None,
    hooks_B: Hooks | None = None,
    hooks_C: Hooks | None = None,
    hooks_D: Hooks | None = None,
) -> Hooks:
    """Hooks that work together."""
    return hooks_together(hooks_A, hooks_B, hooks_C, hooks_D)


@node("Combine Hooks [8]", category=COMBINE, id="CombineHooks8", experimental=True)
def combine_hooks_8(
    *,
    hooks_A: Hooks | None = None,
    hooks_B: Hooks | None = None,
    hooks_C: Hooks | None = None,
    hooks_D: Hooks | None = None,
    hooks_E: Hooks | None = None,
    hooks_F: Hooks | None = None,
    hooks_G: Hooks | None = None,
    hooks_H: Hooks | None = None,
) -> Hooks:
    """Hooks that work together."""
    return hooks_together(hooks_A, hooks_B, hooks_C, hooks_D, hooks_E, hooks_F, hooks_G, hooks_H)


@node("Set CLIP Hooks", category="advanced/hooks/clip", id="SetClipHooks", experimental=True)
def set_clip_hooks(
    *, clip: Clip, apply_to_conds: bool = True, schedule_clip: bool = False, hooks: Hooks | None = None
) -> Clip:
    """Lets hooks change the text encoder too.

    Args:
        apply_to_conds: Whether prompts that it encodes carry the hooks on to the diffusion model.
        schedule_clip: Whether keyframes count for the text as well; it is then encoded once for each.
    """
    if hooks is None:
        return clip
    return HookedEncoder(clip, hooks, scheduled=schedule_clip, told=apply_to_conds)

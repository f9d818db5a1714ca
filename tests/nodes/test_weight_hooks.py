from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from app.diffusion.guidance.keyframes import Keyframe
from app.errors import InvalidRequest, Missing
from app.settings import Settings


def write_lora(installation: Settings) -> Path:
    """A file that shifts what the tiny network answers, and changes a layer of its text tower."""
    folder = installation.directories.base / "models" / "loras"
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    tensors = {
        "diffusion_model.out.2.diff_b": torch.tensor([0.3, -0.2, 0.1, 0.2]),
        # Networks keep what they make of a text; a changed weight must not find it.
        "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_v.lora_up.weight": 5 * torch.randn(32, 2),
        "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_v.lora_down.weight": 5 * torch.randn(2, 16),
        "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": torch.randn(64, 2),
        "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.randn(2, 16),
    }
    save_file(tensors, folder / "style.safetensors")
    return folder / "style.safetensors"


def drawn(bench: Any, model: Any, positive: Any, negative: Any, **more: Any) -> torch.Tensor:
    latent = {"samples": torch.zeros(1, 4, 4, 4)}
    given = {"steps": 3, "cfg": 2.0, "seed": 5, "sampler_name": "euler", "scheduler": "simple", **more}
    return bench("KSampler", model=model, positive=positive, negative=negative, latent_image=latent, **given)["samples"]


@pytest.fixture
def parts(bench: Any, installation: Settings) -> tuple[Any, Any]:
    """The tiny model and its text encoder, beside a LoRA for both."""
    write_lora(installation)
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    return model, clip


def test_a_hook_on_all_prompts_is_the_lora_on_the_model(bench: Any, parts: tuple[Any, Any]) -> None:
    model, clip = parts
    hooks = bench("CreateHookLora", lora_name="style.safetensors", strength_model=3.0, strength_clip=2.0)
    styled, styled_clip = bench(
        "LoraLoader", model=model, clip=clip, lora_name="style.safetensors", strength_model=3.0, strength_clip=2.0
    )
    hooked = bench("SetClipHooks", clip=clip, hooks=hooks)
    said = [bench("CLIPTextEncode", clip=each, text="red") for each in (hooked, styled_clip)]
    found, wanted = drawn(bench, model, said[0], said[0]), drawn(bench, styled, said[1], said[1])
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    plain = bench("CLIPTextEncode", clip=clip, text="red")
    assert not torch.allclose(found, drawn(bench, model, plain, plain), atol=1e-3)


def test_set_on_one_prompt_it_changes_that_side_alone(bench: Any, parts: tuple[Any, Any]) -> None:
    model, clip = parts
    said = bench("CLIPTextEncode", clip=clip, text="red")
    hooks = bench("CreateHookLoraModelOnly", lora_name="style.safetensors", strength_model=3.0)
    positive = bench("ConditioningSetProperties", cond_NEW=said, hooks=hooks)
    styled = bench("LoraLoaderModelOnly", model=model, lora_name="style.safetensors", strength_model=3.0)
    alone = drawn(bench, model, positive, said, cfg=1.0)
    torch.testing.assert_close(alone, drawn(bench, styled, said, said, cfg=1.0), rtol=1e-5, atol=1e-5)
    # Far away from the plain answer lies what guidance makes of the difference.
    assert not torch.allclose(drawn(bench, model, positive, said), drawn(bench, styled, said, said), atol=1e-3)


def test_keyframes_switch_a_lora_off_half_way(bench: Any, parts: tuple[Any, Any]) -> None:
    model, clip = parts
    said = bench("CLIPTextEncode", clip=clip, text="red")
    frames = bench("CreateHookKeyframe", strength_mult=1.0)
    frames = bench("CreateHookKeyframe", strength_mult=0.0, start_percent=0.4, prev_hook_kf=frames)
    hooks = bench("CreateHookLoraModelOnly", lora_name="style.safetensors", strength_model=3.0)
    varying = bench("SetHookKeyframes", hooks=hooks, hook_kf=frames)
    assert bench("SetHookKeyframes", hooks=hooks) is hooks
    positive = bench("ConditioningSetProperties", cond_NEW=said, hooks=varying)
    found = drawn(bench, model, positive, said, cfg=1.0, steps=2)
    styled = bench("LoraLoaderModelOnly", model=model, lora_name="style.safetensors", strength_model=3.0)
    given = {"cfg": 1.0, "steps": 2, "noise_seed": 5, "sampler_name": "euler", "scheduler": "simple"}
    given |= {"positive": said, "negative": said}
    latent = {"samples": torch.zeros(1, 4, 4, 4)}
    begun = {**given, "model": styled, "end_at_step": 1, "return_with_leftover_noise": "enable"}
    first = bench("KSamplerAdvanced", latent_image=latent, **begun)
    ended = {**given, "model": model, "start_at_step": 1, "add_noise": "disable"}
    second = bench("KSamplerAdvanced", latent_image=first, **ended)
    torch.testing.assert_close(found, second["samples"], rtol=1e-4, atol=1e-4)


def test_a_scheduled_text_encoder_is_asked_for_every_strength(bench: Any, parts: tuple[Any, Any]) -> None:
    _, clip = parts
    frames = bench("CreateHookKeyframesInterpolated", strength_start=0.0, strength_end=2.0, keyframes_count=3)
    hooks = bench("CreateHookLora", lora_name="style.safetensors")
    hooks = bench("SetHookKeyframes", hooks=hooks, hook_kf=frames)
    scheduled = bench("SetClipHooks", clip=clip, hooks=hooks, schedule_clip=True, apply_to_conds=False)
    said = bench("CLIPTextEncode", clip=scheduled, text="red")
    assert [entry[1]["clip_start_percent"] for entry in said] == [0.0, 0.5]
    assert "hooks" not in said[0][1]
    assert not torch.equal(said[0][0], said[1][0])
    assert bench("SetClipHooks", clip=clip) is clip


def test_keyframes_from_numbers(bench: Any) -> None:
    before = bench("CreateHookKeyframe", strength_mult=9.0, start_percent=0.3)
    given = {"start_percent": 0.0, "end_percent": 0.6, "prev_hook_kf": before, "print_keyframes": True}
    found = bench("CreateHookKeyframesFromFloats", floats_strength=[1.0, 2], **given)
    assert found == (Keyframe(1.0, 0.0), Keyframe(9.0, 0.3), Keyframe(2, 0.6))
    assert bench("CreateHookKeyframesFromFloats", floats_strength=0.5) == (Keyframe(0.5, 0.0),)
    for wrong in ([], ["a"], [True]):
        with pytest.raises(InvalidRequest):
            bench("CreateHookKeyframesFromFloats", floats_strength=wrong)


@pytest.mark.parametrize("node_id", ["CombineHooks2", "CombineHooks4", "CombineHooks8"])
def test_hooks_are_combined_in_order(bench: Any, parts: tuple[Any, Any], node_id: str) -> None:
    first, second = (
        bench("CreateHookLoraModelOnly", lora_name="style.safetensors", strength_model=strength)
        for strength in (1.0, 2.0)
    )
    assert bench(node_id, hooks_A=first, hooks_B=second) == first | second
    assert bench(node_id).hooks == ()
    later = bench("CreateHookLora", lora_name="style.safetensors", prev_hooks=first)
    assert later.hooks[:1] == first.hooks
    assert len(later.hooks) == 2


def test_strength_0_reads_no_file_and_a_missing_one_is_told(bench: Any) -> None:
    none = {"lora_name": "gone.safetensors", "strength_model": 0.0}
    assert bench("CreateHookLora", strength_clip=0.0, **none).hooks == ()
    assert bench("CreateHookLoraModelOnly", **none).hooks == ()
    with pytest.raises(Missing, match="gone"):
        bench("CreateHookLoraModelOnly", lora_name="gone.safetensors")


@pytest.mark.parametrize("node_id", ["CreateHookModelAsLora", "CreateHookModelAsLoraModelOnly"])
def test_another_checkpoint_at_full_strength_is_that_checkpoint(
    bench: Any, parts: tuple[Any, Any], installation: Settings, node_id: str
) -> None:
    model, clip = parts
    folder = installation.directories.base / "models" / "checkpoints"
    with safe_open(folder / "tiny.safetensors", "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    torch.manual_seed(77)
    moved = {
        name: value + 0.2 * torch.randn_like(value) if value.is_floating_point() else value
        for name, value in tensors.items()
    }
    save_file(moved, folder / "other.safetensors", metadata)
    other, other_clip, _ = bench("CheckpointLoaderSimple", ckpt_name="other.safetensors")
    hooks = bench(node_id, ckpt_name="other.safetensors")
    hooked = bench("SetClipHooks", clip=clip, hooks=hooks)
    said = bench("CLIPTextEncode", clip=hooked, text="red")
    its = bench("CLIPTextEncode", clip=clip if node_id.endswith("ModelOnly") else other_clip, text="red")
    torch.testing.assert_close(said[0][0], its[0][0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(drawn(bench, model, said, said), drawn(bench, other, its, its), rtol=1e-3, atol=1e-3)


def test_a_lora_for_text_alone_leaves_the_network_as_it_is(bench: Any, installation: Settings) -> None:
    folder = write_lora(installation).parent
    layer = "lora_te_text_model_encoder_layers_0_mlp_fc1"
    factors = {f"{layer}.lora_up.weight": torch.ones(64, 2), f"{layer}.lora_down.weight": torch.ones(2, 16)}
    save_file(factors, Path(folder, "text.safetensors"))
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    change = bench("CreateHookLora", lora_name="text.safetensors").hooks[0].change
    assert change.changed_model(model, 1.0) is model
    assert change.changed_clip(clip, 1.0) is not clip
    factors = {f"{layer}.lora_up.weight": torch.ones(65, 2), f"{layer}.lora_down.weight": torch.ones(2, 16)}
    save_file(factors, Path(folder, "wide.safetensors"))
    wide = bench("CreateHookLora", lora_name="wide.safetensors").hooks[0].change
    with pytest.raises(InvalidRequest, match="does not fit this text encoder"):
        wide.changed_clip(clip, 1.0)

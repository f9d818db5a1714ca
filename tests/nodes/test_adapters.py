from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from app.errors import InvalidRequest, Missing, UnknownFamily
from app.settings import Settings

LAYER = "input_blocks.3.1.transformer_blocks.0.attn2.to_q"


def write_lora(installation: Settings, name: str = "style.safetensors") -> Path:
    """Factors for one layer of the tiny model's network and one of its text tower."""
    folder = installation.directories.base / "models" / "loras"
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    tensors = {
        "lora_unet_" + LAYER.replace(".", "_") + ".lora_up.weight": torch.randn(32, 2),
        "lora_unet_" + LAYER.replace(".", "_") + ".lora_down.weight": torch.randn(2, 32),
        "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": torch.randn(64, 2),
        "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.randn(2, 16),
    }
    save_file(tensors, folder / name)
    return folder / name


def pixels(bench: Any, model: Any, clip: Any) -> Any:
    said = bench("CLIPTextEncode", clip=clip, text="red")
    latent = {"samples": torch.zeros(1, 4, 4, 4)}
    drawn = bench("KSampler", model=model, positive=said, negative=said, latent_image=latent, steps=2, cfg=1.0, seed=5)
    return drawn["samples"]


def test_a_lora_changes_what_is_drawn_and_not_the_model(bench: Any, installation: Settings) -> None:
    write_lora(installation)
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    plain = pixels(bench, model, clip)
    styled = bench("LoraLoader", model=model, clip=clip, lora_name="style.safetensors", strength_model=3.0)
    assert not torch.equal(pixels(bench, *styled), plain)
    assert torch.equal(pixels(bench, model, clip), plain)
    again = bench("LoraLoader", model=model, clip=clip, lora_name="style.safetensors", strength_model=3.0)
    assert torch.equal(pixels(bench, *again), pixels(bench, *styled))


def test_the_model_alone(bench: Any, installation: Settings) -> None:
    write_lora(installation)
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    styled = bench("LoraLoaderModelOnly", model=model, lora_name="style.safetensors")
    both = bench("LoraLoader", model=model, clip=clip, lora_name="style.safetensors", strength_clip=0.0)
    assert both[1] is clip
    assert torch.equal(pixels(bench, styled, clip), pixels(bench, *both))
    assert styled.source is model.source


def test_strength_0_gives_back_what_it_got_and_reads_nothing(bench: Any) -> None:
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    given = {"model": model, "lora_name": "gone.safetensors", "strength_model": 0.0}
    assert bench("LoraLoader", clip=clip, strength_clip=0.0, **given) == (model, clip)
    assert bench("LoraLoaderModelOnly", **given) is model


def test_a_missing_file_a_checkpoint_and_a_foreign_lora_are_told(bench: Any, installation: Settings) -> None:
    folder = write_lora(installation).parent
    model, _, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    with pytest.raises(Missing, match="gone") as gone:
        bench("LoraLoaderModelOnly", model=model, lora_name="gone.safetensors")
    assert gone.value.input_name == "lora_name"
    save_file({"first_stage_model.x": torch.zeros(1)}, folder / "other.safetensors")
    with pytest.raises(UnknownFamily, match=r"other\.safetensors"):
        bench("LoraLoaderModelOnly", model=model, lora_name="other.safetensors")
    layer = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    save_file(
        {f"{layer}.lora_up.weight": torch.zeros(640, 4), f"{layer}.lora_down.weight": torch.zeros(4, 2048)},
        folder / "xl.safetensors",
    )
    with pytest.raises(InvalidRequest, match="SDXL"):
        bench("LoraLoaderModelOnly", model=model, lora_name="xl.safetensors")


def test_a_saved_model_holds_what_the_lora_made_of_it(bench: Any, installation: Settings) -> None:
    write_lora(installation)
    parts = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    model, clip = bench("LoraLoader", model=parts[0], clip=parts[1], lora_name="style.safetensors")
    returned = bench.returned(
        "CheckpointSave", model=model, clip=clip, vae=parts[2], filename_prefix="checkpoints/styled"
    )
    bench.workshop.outputs.publish_ui(returned.ui, "job", "1")
    read = bench("CheckpointLoaderSimple", ckpt_name="styled_00001_.safetensors")
    assert torch.equal(pixels(bench, read[0], read[1]), pixels(bench, model, clip))


@pytest.mark.parametrize("lora_type", ["standard", "full_diff"])
def test_a_difference_is_saved_and_loaded_as_a_lora(bench: Any, installation: Settings, lora_type: str) -> None:
    write_lora(installation)
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    styled = bench("LoraLoaderModelOnly", model=model, lora_name="style.safetensors")
    difference = bench("ModelMergeSubtract", model1=styled, model2=model)
    returned = bench.returned("LoraSave", filename_prefix="loras/found", lora_type=lora_type, model_diff=difference)
    bench.workshop.outputs.publish_ui(returned.ui, "job", "1")
    again = bench("LoraLoaderModelOnly", model=model, lora_name="found_00001_.safetensors")
    torch.testing.assert_close(pixels(bench, again, clip), pixels(bench, styled, clip), rtol=0.01, atol=0.02)


def test_without_a_difference_there_is_nothing_to_save(bench: Any) -> None:
    with pytest.raises(InvalidRequest, match="no difference"):
        bench.returned("LoraSave")

"""A folder of parts, as diffusers writes it, is read as one checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from app.diffusion.published import PUBLISHED
from app.errors import Missing, UnusableFile
from app.weights.diffusers_names import first_stage_names, is_first_stage, is_unet, unet_names
from app.weights.folder import open_folder, part_of
from app.weights.identify import identify
from app.weights.parts import parts_of
from app.weights.shapes import autoencoder_of_shapes
from app.weights.stored import Stored, held, shapes_of


def theirs(name: str) -> dict[str, Stored]:
    """The names and shapes of diffusers' own SD 1.5 and SDXL networks, made without memory."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    plain, cross = "DownBlock2D", "CrossAttnDownBlock2D"
    kinds: dict[str, dict[str, Any]] = {
        "sd1": {"cross_attention_dim": 768},
        "sdxl": {
            "block_out_channels": (320, 640, 1280),
            "down_block_types": (plain, cross, cross),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": [1, 2, 10],
            "cross_attention_dim": 2048,
            "attention_head_dim": [5, 10, 20],
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
    }
    with torch.device("meta"):
        if name == "vae":
            shape: dict[str, Any] = {
                "down_block_types": ("DownEncoderBlock2D",) * 4,
                "up_block_types": ("UpDecoderBlock2D",) * 4,
                "block_out_channels": (128, 256, 512, 512),
                "layers_per_block": 2,
            }
            network: Any = AutoencoderKL(**shape)
        else:
            network = UNet2DConditionModel(**kinds[name])
    return held(network.state_dict())


@pytest.mark.parametrize("name", ["sd1", "sdxl"])
def test_a_u_net_has_the_original_names(name: str) -> None:
    tensors = theirs(name)
    assert is_unet(tensors)
    assert not is_first_stage(tensors)
    renamed = unet_names(tensors)
    parts = parts_of({f"model.diffusion_model.{key}": stored for key, stored in renamed.items()})
    assert identify(parts, {}, {}, name) == PUBLISHED[name]


def test_a_first_stage_has_the_original_names_and_convolutions() -> None:
    tensors = theirs("vae")
    assert is_first_stage(tensors)
    renamed = first_stage_names(tensors)
    assert renamed["encoder.mid.attn_1.q.weight"].shape == (512, 512, 1, 1)
    assert autoencoder_of_shapes(shapes_of(renamed)) == PUBLISHED["sd1"].first_stage


@pytest.mark.parametrize("pair", [("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")])
def test_both_generations_of_attention_names(pair: tuple[str, str]) -> None:
    names = [
        next(iter(first_stage_names(held({f"decoder.mid_block.attentions.0.{part}.weight": torch.ones(4, 4)}))))
        for part in pair
    ]
    assert names[0] == names[1]
    assert names[0].startswith("decoder.mid.attn_1.")


def write(folder: Path, tensors: dict[str, Tensor], name: str = "diffusion_pytorch_model.safetensors") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / name)


def test_parts_come_together_under_a_checkpoint_s_names(tmp_path: Path) -> None:
    write(
        tmp_path / "unet",
        {"conv_in.weight": torch.ones(8, 4, 3, 3), "down_blocks.0.resnets.0.conv1.bias": torch.ones(1)},
    )
    write(tmp_path / "vae", {"decoder.conv_in.weight": torch.ones(2)})
    tower = {"text_model.embeddings.token_embedding.weight": torch.ones(3, 768)}
    write(tmp_path / "text_encoder", tower, "model.safetensors")
    tower = {"text_model.embeddings.token_embedding.weight": torch.ones(3, 1280)}
    write(tmp_path / "text_encoder_2", tower, "model.fp16.safetensors")
    (tmp_path / "scheduler").mkdir()
    settings = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps(settings))
    assert set(open_folder(tmp_path).tensors) == {
        "model.diffusion_model.input_blocks.0.0.weight",
        "model.diffusion_model.input_blocks.1.0.in_layers.2.bias",
        "first_stage_model.decoder.conv_in.weight",
        "text_encoders.clip_l.transformer.text_model.embeddings.token_embedding.weight",
        "text_encoders.clip_g.transformer.text_model.embeddings.token_embedding.weight",
        "v_pred",
        "ztsnr",
    }


def test_a_part_in_several_files(tmp_path: Path) -> None:
    write(tmp_path, {"a": torch.ones(1)}, "model-00001-of-00002.safetensors")
    write(tmp_path, {"b": torch.ones(2)}, "model-00002-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert set(part_of(tmp_path)) == {"a", "b"}


def test_an_index_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    save_file({"secret": torch.ones(1)}, tmp_path / "secret.safetensors")
    write(tmp_path / "unet", {"a": torch.ones(1)})
    index = {"weight_map": {"a": "../secret.safetensors"}}
    (tmp_path / "unet" / "x.safetensors.index.json").write_text(json.dumps(index))
    assert set(part_of(tmp_path / "unet")) == {"a"}


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="'unet'"):
        open_folder(tmp_path)
    (tmp_path / "unet").mkdir()
    with pytest.raises(Missing, match="unet holds no weights"):
        open_folder(tmp_path)
    write(tmp_path / "unet", {"conv_in.weight": torch.ones(1)})
    write(tmp_path / "text_encoder", {"other": torch.ones(1)}, "model.safetensors")
    with pytest.raises(UnusableFile, match="no kind that is known"):
        open_folder(tmp_path)
    (tmp_path / "text_encoder" / "model.safetensors").unlink()
    write(tmp_path / "text_encoder", {"text_model.embeddings.token_embedding.weight": torch.ones(3, 768)})
    (tmp_path / "scheduler").mkdir()
    for text in ("no json", "[1]"):
        (tmp_path / "scheduler" / "scheduler_config.json").write_text(text)
        with pytest.raises(UnusableFile, match=r"scheduler_config\.json"):
            open_folder(tmp_path)

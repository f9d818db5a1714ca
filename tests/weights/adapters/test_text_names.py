from __future__ import annotations

import pytest
import torch

from app.weights.adapters.origin import origin_of_adapter
from app.weights.adapters.text_names import text_names

T5 = "encoder.block.0.layer.0.SelfAttention.q"


@pytest.mark.parametrize(
    ("tower", "towers", "known", "foreign"),
    [
        ("l", ("l",), ["lora_te_a_b", "lora_te1_a_b", "text_encoder.a.b", "base_model.model.a.b"], "lora_te2_a_b"),
        ("h", ("h",), ["lora_te_a_b", "text_encoder.a.b", "text_encoders.clip_h.transformer.a.b"], "lora_te2_a_b"),
        ("g", ("g",), ["lora_te_a_b", "lora_te2_a_b"], "lora_te3_a_b"),
        ("g", ("l", "g"), ["lora_te2_a_b", "text_encoder_2.a.b", "text_encoder.2.a.b"], "lora_te1_a_b"),
        ("l", ("l", "t5xxl"), ["lora_te1_a_b", "text_encoder.a.b"], "lora_te2_a_b"),
        ("t5xxl", ("l", "t5xxl"), ["lora_te2_a_b", "lora_te3_a_b", "text_encoder_2.a.b"], "lora_te1_a_b"),
        ("t5xxl", ("l", "g", "t5xxl"), ["lora_te3_a_b", "text_encoder_3.a.b"], "lora_te2_a_b"),
    ],
)
def test_towers_are_numbered_as_trainers_do(
    tower: str, towers: tuple[str, ...], known: list[str], foreign: str
) -> None:
    names = list(text_names(tower, towers, "a.b"))
    assert set(known) <= set(names)
    assert foreign not in names


def test_no_name_is_that_of_two_towers() -> None:
    towers = ("l", "g", "t5xxl")
    names = [name for tower in towers for name in set(text_names(tower, towers, T5))]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "width", "family"),
    [
        ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight", 768, "SD 1"),
        ("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_v_lora.down.weight", 1024, "SD 2"),
        ("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight", 2048, "SDXL"),
        ("lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.hada_w1_b", 1280, "SDXL's refiner"),
        ("transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight", 3072, "Flux"),
        ("transformer.transformer_blocks.0.attn.add_k_proj.lora_A.weight", 1536, "SD 3"),
        ("base_model.model.transformer_blocks.0.attn2.to_k.lora_A.my-name.weight", 768, "SD 1"),
        ("base_model.model.double_blocks.0.img_attn.qkv.lora_A.weight", 3072, "Flux"),
        ("lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight", 1280, "SDXL"),
        ("something.lora_down.weight", 5, ""),
    ],
)
def test_a_family_is_told_by_names_and_widths(name: str, width: int, family: str) -> None:
    assert origin_of_adapter({name: torch.zeros(2, width)}, {}) == family


def test_the_header_comes_first() -> None:
    tensors = {"lora_te2_x.lora_down.weight": torch.zeros(2, 2)}
    assert origin_of_adapter(tensors, {"modelspec.architecture": "flux-1-dev/lora"}) == "Flux"
    assert origin_of_adapter(tensors, {"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}) == "SDXL"
    assert origin_of_adapter(tensors, {"ss_base_model_version": "sd_v1"}) == "SD 1"
    assert origin_of_adapter(tensors, {"ss_base_model_version": "unheard of"}) == "SDXL"

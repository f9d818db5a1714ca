from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from app.diffusion.adapters.twin import settle
from app.errors import InvalidRequest, UnknownFamily, UnusableFile
from app.weights.adapters.adapter import load_adapter, network_places
from tests.weights.adapters.models import lora, saved, small_clip, small_model

TO_Q = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
OURS = "input_blocks.1.1.transformer_blocks.0.attn1.to_q"
SHAPE = (32, 32)
# Every way in which trainers have written the same two factors of the same layer.
DIALECTS = {
    "kohya": ("lora_unet_" + TO_Q.replace(".", "_"), ".lora_up.weight", ".lora_down.weight"),
    "kohya, original names": ("lora_unet_" + OURS.replace(".", "_"), ".lora_up.weight", ".lora_down.weight"),
    "LyCORIS": ("lycoris_" + TO_Q.replace(".", "_"), ".lora_up.weight", ".lora_down.weight"),
    "original": ("diffusion_model." + OURS, ".lora_B.weight", ".lora_A.weight"),
    "diffusers": ("unet." + TO_Q, ".lora.up.weight", ".lora.down.weight"),
    "diffusers, bare": (TO_Q, ".lora_linear_layer.up.weight", ".lora_linear_layer.down.weight"),
    "diffusers, processors": ("unet." + TO_Q.replace("to_q", "processor.to_q"), "_lora.up.weight", "_lora.down.weight"),
    "PEFT in diffusers": ("unet." + TO_Q, ".lora_B.weight", ".lora_A.weight"),
    "PEFT": ("base_model.model." + TO_Q, ".lora_B.weight", ".lora_A.weight"),
    "PEFT, named": ("unet.base_model.model." + TO_Q, ".lora_B.my_style.weight", ".lora_A.my_style.weight"),
    "PEFT, parameters": ("unet." + TO_Q, ".lora_B", ".lora_A"),
}


def changed(before: nn.Module, after: nn.Module) -> dict[str, Tensor]:
    """The parameters that differ, and by how much."""
    old, new = before.state_dict(), after.state_dict()
    return {name: new[name] - old[name] for name in old if not torch.equal(old[name], new[name])}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_one_layer_in_every_dialect(tmp_path: Path, dialect: str) -> None:
    layer, up, down = DIALECTS[dialect]
    model = small_model("sd1")
    a, b = torch.randn(32, 2), torch.randn(2, 32)
    adapter = saved(tmp_path, {layer + up: a, layer + down: b})
    made, clip = adapter.applied(model, None, 0.5)
    assert clip is None
    difference = changed(model.network, made.network)
    assert list(difference) == [OURS + ".weight"]
    torch.testing.assert_close(difference[OURS + ".weight"], 0.5 * a @ b, rtol=0, atol=1e-5)


def test_alpha_scales_by_the_rank(tmp_path: Path) -> None:
    model = small_model("sd1")
    layer = DIALECTS["kohya"][0]
    factors = lora(layer, SHAPE)
    adapter = saved(tmp_path, {**factors, f"{layer}.alpha": torch.tensor(1.0)})
    made = adapter.applied(model, None)[0]
    up, down = factors.values()
    torch.testing.assert_close(changed(model.network, made.network)[OURS + ".weight"], up @ down / 2, rtol=0, atol=1e-5)


TEXT = "text_model.encoder.layers.0.mlp.fc2"
TEXT_DIALECTS = {
    "l": [
        "lora_te1_text_model_encoder_layers_0_mlp_fc2",
        f"text_encoder.{TEXT}",
        f"text_encoder.base_model.model.{TEXT}",
        f"text_encoders.clip_l.transformer.{TEXT}",
    ],
    "g": [
        "lora_te2_text_model_encoder_layers_0_mlp_fc2",
        f"text_encoder_2.{TEXT}",
        f"text_encoders.clip_g.transformer.{TEXT}",
        "lora_prior_te_text_model_encoder_layers_0_mlp_fc2",
    ],
}


@pytest.mark.parametrize(
    ("tower", "layer"), [(tower, layer) for tower in TEXT_DIALECTS for layer in TEXT_DIALECTS[tower]]
)
def test_text_towers_of_sdxl(tmp_path: Path, tower: str, layer: str) -> None:
    clip: Any = small_clip("l", "g")
    width = 16 if tower == "l" else 24
    adapter = saved(tmp_path, lora(layer, (width, 4 * width)))
    model = small_model("sd1")
    same, made = adapter.applied(model, clip, 1.0, 2.0)
    assert same is model
    for name in "lg":
        wanted = [f"{TEXT}.weight"] if name == tower else []
        assert list(changed(clip.towers[name], made.towers[name])) == wanted
    assert made.model[tower] is made.towers[tower]
    assert not torch.equal(made.encode("red").context, clip.encode("red").context)


def test_the_text_tower_of_sd1_has_no_number(tmp_path: Path) -> None:
    clip: Any = small_clip("l")
    adapter = saved(tmp_path, lora("lora_te_text_model_encoder_layers_0_self_attn_q_proj", (16, 16)))
    made = adapter.applied(small_model("sd1"), clip)[1]
    assert list(changed(clip.model, made.model)) == ["text_model.encoder.layers.0.self_attn.q_proj.weight"]
    assert made.layer == clip.layer


def test_strength_0_leaves_a_part_alone(tmp_path: Path) -> None:
    model, clip = small_model("sd1"), small_clip("l")
    unet, text = lora(DIALECTS["kohya"][0], SHAPE), lora("lora_te_text_model_encoder_layers_0_mlp_fc1", (64, 16))
    adapter = saved(tmp_path, {**unet, **text})
    assert adapter.applied(model, clip, 0.0, 0.0) == (model, clip)
    assert adapter.applied(model, clip, 1.0, 0.0)[1] is clip
    assert adapter.applied(model, clip, 0.0, 1.0)[0] is model


def test_stacked_in_order_and_taken_away_byte_for_byte(tmp_path: Path) -> None:
    model = small_model("sd1")
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    adapter = saved(tmp_path, lora(DIALECTS["kohya"][0], SHAPE))
    once = adapter.applied(model, None, 0.7)[0]
    twice = adapter.applied(once, None, -0.2)[0]
    alone = adapter.applied(model, None, 0.5)[0]
    for each in (once, twice, alone):
        settle(each.network)
    one, other = twice.network.state_dict(), alone.network.state_dict()
    torch.testing.assert_close(one[OURS + ".weight"], other[OURS + ".weight"])
    after = model.network.state_dict()
    assert all(value.numpy().tobytes() == after[name].numpy().tobytes() for name, value in before.items())


def test_convolutions_biases_and_normalisations(tmp_path: Path) -> None:
    model = small_model("sd1")
    tensors = {
        **lora("lora_unet_down_blocks_0_resnets_0_conv1", (32, 32, 3, 3)),
        "lora_unet_conv_in.diff": torch.ones(32, 4, 3, 3),
        "lora_unet_conv_in.diff_b": torch.ones(32),
        "lora_unet_conv_norm_out.w_norm": torch.ones(32),
        "lora_unet_conv_norm_out.b_norm": torch.ones(32),
        "lora_unet_time_embedding_linear_1.set_weight": torch.zeros(128, 32),
    }
    made = saved(tmp_path, tensors).applied(model, None)[0]
    assert sorted(changed(model.network, made.network)) == [
        "input_blocks.0.0.bias",
        "input_blocks.0.0.weight",
        "input_blocks.1.0.in_layers.2.weight",
        "out.0.bias",
        "out.0.weight",
        "time_embed.0.weight",
    ]
    assert not made.network.state_dict()["time_embed.0.weight"].any()


def test_what_fits_nothing_is_told_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tensors = {**lora(DIALECTS["kohya"][0], SHAPE), **lora("lora_unet_nowhere", (2, 2)), "strange": torch.zeros(1)}
    with caplog.at_level(logging.WARNING):
        saved(tmp_path, tensors).applied(small_model("sd1"), None)
    assert "3 of the 5 tensors in 'style.safetensors' change nothing" in caplog.text
    assert "lora_unet_nowhere.lora_down.weight" in caplog.text
    assert "strange" in caplog.text


def test_a_file_for_another_family_is_told_before_anything_runs(tmp_path: Path) -> None:
    """SDXL's names are among those of SD 1, its shapes are not."""
    model = small_model("sd1")
    layer = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    tensors = {**lora(layer, (640, 2048)), **lora(DIALECTS["kohya"][0], SHAPE)}
    with pytest.raises(InvalidRequest) as told:
        saved(tmp_path, tensors).applied(model, None)
    assert "Of the 2 layers that 'style.safetensors' changes, 1 fit this model (sd1)" in told.value.message
    assert f"{layer!r} would need a weight of shape [64, 24]" in told.value.message
    assert told.value.remedy == "The file was made for SDXL: load a model of that family, or choose another file."


def test_a_file_that_fits_nothing_names_what_it_has(tmp_path: Path) -> None:
    adapter = saved(tmp_path, lora("lora_unet_double_blocks_0_img_attn_qkv", (12, 4)))
    with pytest.raises(InvalidRequest, match=r"1 layers .* 0 fit this model .*double_blocks_0_img_attn_qkv") as told:
        adapter.applied(small_model("sd1"), None)
    assert "made for Flux" in told.value.remedy


def test_the_header_tells_the_family_too(tmp_path: Path) -> None:
    adapter = saved(tmp_path, lora("lora_unet_x", (2, 2)), {"ss_base_model_version": "sd_v2_v"})
    with pytest.raises(InvalidRequest, match="made for SD 2"):
        adapter.applied(small_model("sd1"), None)


def test_a_foreign_file_is_told(tmp_path: Path) -> None:
    save_file({"first_stage_model.decoder.x": torch.zeros(2)}, tmp_path / "vae.safetensors")
    with pytest.raises(UnknownFamily, match=r"'vae\.safetensors' is not a LoRA.*a VAE"):
        load_adapter(tmp_path / "vae.safetensors")


def test_values_that_are_not_numbers_are_told(tmp_path: Path) -> None:
    factors = lora(DIALECTS["kohya"][0], SHAPE)
    next(iter(factors.values()))[0, 0] = float("nan")
    with pytest.raises(UnusableFile, match="not numbers"):
        saved(tmp_path, factors)


def test_a_bias_that_does_not_fit_is_told(tmp_path: Path) -> None:
    tensors = {**lora(DIALECTS["kohya"][0], SHAPE), "lora_unet_conv_in.diff_b": torch.ones(7)}
    with pytest.raises(InvalidRequest, match=r"'lora_unet_conv_in' would need a weight of shape \[32\] for its bias"):
        saved(tmp_path, tensors).applied(small_model("sd1"), None)


def test_an_edited_network_has_the_places_of_its_origin(tmp_path: Path) -> None:
    model = small_model("sd1")
    made = saved(tmp_path, lora(DIALECTS["kohya"][0], SHAPE)).applied(model, None)[0]
    assert network_places(made.network) == network_places(model.network)


def test_every_layer_of_a_network_at_once(tmp_path: Path) -> None:
    model = small_model("sdxl")
    tensors: dict[str, Tensor] = {}
    for name, value in model.network.named_parameters():
        if name.endswith(".weight") and value.ndim > 1:
            tensors |= lora("lora_unet_" + name.removesuffix(".weight").replace(".", "_"), tuple(value.shape), rank=1)
    made = saved(tmp_path, tensors).applied(model, None)[0]
    assert len(changed(model.network, made.network)) == len(tensors) // 2


@pytest.mark.parametrize("part", [".lora_up.weight", ".lora_down.weight"])
def test_a_factor_without_sides_is_told_with_its_layer(tmp_path: Path, part: str) -> None:
    layer = DIALECTS["kohya"][0]
    adapter = saved(tmp_path, lora(layer, SHAPE) | {layer + part: torch.tensor(1.0)})
    with pytest.raises(InvalidRequest, match=layer):
        adapter.applied(small_model("sd1"), None)

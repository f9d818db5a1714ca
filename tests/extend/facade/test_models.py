"""First stages, text encoders, LoRA and layers as packs hold them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.errors import InvalidRequest, UnusableFile
from app.extend.facade.bridge import FacadeHost
from app.weights.checkpoint import Checkpoint


@torch.inference_mode()
def test_a_first_stage_decodes_as_our_own_does(host: FacadeHost, tiny: Checkpoint) -> None:
    vae = host.to_pack(tiny.vae)
    latent = torch.randn(2, 4, 8, 8)
    image = vae.decode(latent)
    assert torch.equal(image, tiny.vae.decode(latent))
    assert vae.decode_tiled(latent, 8, 8, 2).shape == image.shape
    assert vae.encode(image[:, :, :, :3]).shape == latent.shape
    assert vae.encode_tiled(image, 64, 64, 16).shape == latent.shape
    assert (vae.downscale_ratio, vae.latent_channels) == (8, 4)
    assert vae.vae_encode_crop_pixels(torch.zeros(1, 13, 17, 3)).shape == (1, 8, 16, 3)
    assert torch.allclose(vae.process_output(vae.process_input(image)), image, atol=1e-6)
    assert host.from_pack(vae) is tiny.vae


def test_tensors_that_make_no_first_stage_are_refused(host: FacadeHost) -> None:
    sd = importlib.import_module("comfy.sd")
    with pytest.raises(UnusableFile, match="not a VAE"):
        sd.VAE(sd={"encoder.weight": torch.ones(1)})


@torch.inference_mode()
def test_a_prompt_is_encoded_as_our_own_does(host: FacadeHost, tiny: Checkpoint) -> None:
    clip: Any = host.to_pack(tiny.clip)
    ours: Any = tiny.clip.encode("a (red:1.3) circle")
    tokens = clip.tokenize("a (red:1.3) circle")
    cond, pooled = clip.encode_from_tokens(tokens, return_pooled=True)
    assert torch.equal(cond, ours.context)
    assert torch.equal(pooled, ours.pooled)
    assert torch.equal(clip.encode("a (red:1.3) circle"), cond)
    ((features, said),) = clip.encode_from_tokens_scheduled(tokens, add_dict={"extra": 1})
    assert torch.equal(features, cond)
    assert said["extra"] == 1
    assert set(clip.encode_from_tokens(tokens, return_dict=True)) == {"cond", "pooled_output"}
    words = clip.tokenize("red", return_word_ids=True)
    assert len(words[next(iter(words))][0][0]) == 3
    assert host.from_pack(clip) is tiny.clip


@torch.inference_mode()
def test_tokens_that_a_pack_changed_count(host: FacadeHost, tiny: Checkpoint) -> None:
    clip: Any = host.to_pack(tiny.clip)
    tokens = clip.tokenize("red circle")
    name = next(iter(tokens))
    plain = clip.encode_from_tokens(tokens)
    ((start, *words, end),) = tokens[name]
    tokens[name] = [[start, *((token, 2.0) for token, _ in words), end]]
    assert not torch.allclose(clip.encode_from_tokens(tokens), plain)
    other = clip.tokenize("circle circle")
    assert not torch.allclose(clip.encode_from_tokens(other), plain)


@torch.inference_mode()
def test_a_clone_may_stop_at_another_layer(host: FacadeHost, tiny: Checkpoint) -> None:
    clip: Any = host.to_pack(tiny.clip)
    clone = clip.clone()
    clone.clip_layer(-2)
    assert not torch.allclose(clone.encode("red"), clip.encode("red"))
    assert clip.layer_idx is None


def lora_for(model: Any, clip: Any) -> dict[str, Tensor]:
    """A file in the names that most files have."""
    width = model.model_state_dict()["diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.weight"].shape
    key = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    tower = next(key for key in clip.get_sd() if key.endswith("layers.0.self_attn.q_proj.weight"))
    rows, columns = clip.get_sd()[tower].shape
    return {
        f"{key}.lora_up.weight": torch.full((width[0], 2), 3.0),
        f"{key}.lora_down.weight": torch.full((2, width[1]), 1.0),
        f"{key}.alpha": torch.tensor(1.0),
        "lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_up.weight": torch.ones(rows, 1),
        "lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight": torch.arange(float(columns))[None]
        - 3.0,
    }


@torch.inference_mode()
def test_a_lora_changes_model_and_text_encoder(host: FacadeHost, tiny: Checkpoint, tmp_path: Path) -> None:
    sd = importlib.import_module("comfy.sd")
    model, clip = host.to_pack(tiny.model), host.to_pack(tiny.clip)
    lora = lora_for(model, clip)
    changed, spoken = sd.load_lora_for_models(model, clip, lora, 0.5, 1.0)
    name = "middle_block.1.transformer_blocks.0.attn1.to_q.weight"
    before = model.model_state_dict()[f"diffusion_model.{name}"]
    # up · down · alpha / rank = 3 · 1 · 2 terms · 1/2
    assert torch.allclose(changed.patched_weights()[name], before + 0.5 * 3.0)
    assert not torch.allclose(spoken.encode("red"), clip.encode("red"))
    native: Any = host.from_pack(spoken)
    assert torch.equal(native.encode("red").context, spoken.encode("red"))
    assert host.to_pack(native) is spoken or host.to_pack(native).patcher.patches
    assert torch.equal(host.to_pack(tiny.clip).encode("red"), clip.encode("red"))
    with pytest.raises(InvalidRequest, match="fits neither"):
        sd.load_lora_for_models(model, clip, {"foreign.weight": torch.ones(1)}, 1.0, 1.0)


@torch.inference_mode()
def test_the_lora_node_reads_its_file_once(host: FacadeHost, tiny: Checkpoint) -> None:
    utils, nodes = importlib.import_module("comfy.utils"), importlib.import_module("nodes")
    folder_paths = importlib.import_module("folder_paths")
    model, clip = host.to_pack(tiny.model), host.to_pack(tiny.clip)
    folder = folder_paths.get_folder_paths("loras")[0]
    Path(folder).mkdir(parents=True, exist_ok=True)
    utils.save_torch_file(lora_for(model, clip), f"{folder}/style.safetensors")
    loader = nodes.LoraLoader()
    changed, _ = loader.load_lora(model, clip, "style.safetensors", 1.0, 1.0)
    assert changed.patches
    assert loader.load_lora(model, clip, "style.safetensors", 0, 0) == (model, clip)
    (alone,) = nodes.LoraLoaderModelOnly().load_lora_model_only(model, "style.safetensors", 1.0)
    assert alone.patches
    assert nodes.LoraLoader.INPUT_TYPES()["required"]["lora_name"][0] == ["style.safetensors"]
    assert "clip" not in nodes.LoraLoaderModelOnly.INPUT_TYPES()["required"]


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ((torch.ones(2, 2),), 3.0),
        (("diff", (torch.ones(2, 2),)), 3.0),
        (("set", (torch.full((2, 2), 9.0),)), 9.0),
        (("model_as_lora", (torch.full((2, 2), 5.0),)), 5.0),
        (("lora", (torch.ones(2, 1), torch.ones(1, 2), 2.0)), 4.0),
    ],
)
def test_every_kind_of_change(host: FacadeHost, patch: Any, expected: float) -> None:
    lora = importlib.import_module("comfy.lora")
    weight = torch.full((2, 2), 2.0)
    assert lora.calculate_weight([(1.0, patch, 1.0, None, None)], weight, "w").tolist() == [[expected] * 2] * 2


def test_changes_of_a_part_with_a_function_and_of_the_wrong_shape(host: FacadeHost) -> None:
    lora = importlib.import_module("comfy.lora")
    weight = torch.zeros(2, 2)
    part = [(1.0, (torch.ones(1, 2),), 1.0, (0, 1, 1), lambda delta: delta * 2)]
    assert lora.calculate_weight(part, weight, "w").tolist() == [[0, 0], [2, 2]]
    with pytest.raises(InvalidRequest, match="w does not fit"):
        lora.calculate_weight([(1.0, (torch.ones(3, 3),), 1.0, None, None)], weight, "w")
    with pytest.raises(InvalidRequest, match="unknown kind"):
        lora.calculate_weight([(1.0, ("strange", ()), 1.0, None, None)], weight, "w")


def test_a_checkpoint_by_path(host: FacadeHost, tiny_file: Path) -> None:
    sd = importlib.import_module("comfy.sd")
    model, clip, vae, vision = sd.load_checkpoint_guess_config(str(tiny_file))
    assert model.model.model_type.name == "FLOW"
    assert model.model.latent_format.scale_factor == 1.5
    assert clip.encode("red").ndim == 3
    assert vae.latent_channels == 4
    assert vision is None
    assert sd.load_checkpoint_guess_config(str(tiny_file), output_clip=False, output_vae=False)[1:3] == (None, None)


def test_facts_of_a_model(host: FacadeHost, tiny: Checkpoint) -> None:
    model = host.to_pack(tiny.model)
    assert model.is_clone(model.clone())
    assert model.clone_has_same_weights(model.clone())
    assert host.to_pack(tiny.model).model is model.model
    assert model.model_size() > 0
    assert model.model.model_config.unet_config["model_channels"] == 16
    assert model.get_model_object("model_sampling").sigma_max == tiny.model.sampling.sigma_max
    assert model.memory_required((1, 4, 8, 8)) > 0
    model.set_attachments("mine", 3)
    assert model.clone().get_attachment("mine") == 3
    assert host.from_pack(model) is tiny.model


def test_layers_without_values_and_layers_that_cast(host: FacadeHost) -> None:
    ops = importlib.import_module("comfy.ops")
    for kind, given in (("Linear", (4, 4)), ("LayerNorm", (4,)), ("Embedding", (5, 4))):
        assert isinstance(getattr(ops.disable_weight_init, kind)(*given), getattr(nn, kind))
    layer = ops.manual_cast.Linear(4, 4)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    assert layer(torch.ones(1, 4, dtype=torch.float64)).dtype == torch.float64
    picture = torch.ones(1, 4, 3, 3, dtype=torch.float64)
    for made in (ops.manual_cast.conv_nd(2, 4, 4, 1), ops.manual_cast.GroupNorm(2, 4)):
        for parameter in made.parameters():
            nn.init.ones_(parameter)
        assert made(picture).dtype == torch.float64
    with pytest.raises(ValueError, match="use 2 or 3"):
        ops.disable_weight_init.conv_nd(5, 1, 1, 1)
    assert ops.pick_operations(torch.float16, torch.float32) is ops.manual_cast
    assert ops.pick_operations(torch.float16, None) is ops.disable_weight_init


def test_attention_in_every_form(host: FacadeHost) -> None:
    attention = importlib.import_module("comfy.ldm.modules.attention").optimized_attention
    q, k, v = torch.randn(3, 2, 5, 8)
    plain = attention(q, k, v, 2)
    split = [part.unflatten(-1, (2, -1)).transpose(1, 2) for part in (q, k, v)]
    assert torch.allclose(attention(*split, 2, skip_reshape=True), plain, atol=1e-6)
    assert attention(q, k, v, 2, skip_output_reshape=True).shape == (2, 2, 5, 4)
    allowed = torch.ones(5, 5, dtype=torch.bool)
    for mask in (allowed, allowed.expand(2, 5, 5), allowed.expand(2, 2, 5, 5)):
        assert torch.allclose(attention(q, k, v, 2, mask=mask), plain, atol=1e-6)
    first = torch.zeros(5, 5, dtype=torch.bool)
    first[:, 0] = True
    assert torch.allclose(attention(q, k, v, 2, mask=first), v[:, :1].expand_as(v), atol=1e-6)


def test_rotations_keep_lengths_and_paddings_reach_multiples(host: FacadeHost) -> None:
    rotary = importlib.import_module("comfy.ldm.flux.math")
    turned, _ = rotary.apply_rope(
        torch.ones(1, 3, 8), torch.ones(1, 3, 8), rotary.rope(torch.arange(3.0)[None], 8, 100)
    )
    assert torch.allclose(turned.norm(dim=-1), torch.full((1, 3), 8**0.5), atol=1e-5)
    assert torch.allclose(turned[0, 0], torch.ones(8), atol=1e-6)
    dit = importlib.import_module("comfy.ldm.common_dit")
    assert dit.pad_to_patch_size(torch.zeros(1, 1, 5, 6)).shape == (1, 1, 6, 6)
    waves = importlib.import_module("comfy.ldm.flux.layers").timestep_embedding(torch.tensor([0.0, 1.0]), 8)
    assert waves[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]

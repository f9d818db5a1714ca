"""A network of a foreign architecture is told as one, with what was looked for and what is nearest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch

from app.errors import UnknownFamily, UnusableFile
from app.weights import separate
from app.weights.checkpoint import checkpoint_of
from app.weights.separate import load_network
from app.weights.stored import Stored, WeightsFile
from tests.weights.paper import listed, network, paper

HEAD = "double_blocks.0.img_attn.norm.key_norm.scale"
QKV = {f"double_blocks.{index}.img_attn.qkv.weight": (4, 4) for index in range(6)}
FOREIGN: Mapping[str, tuple[Mapping[str, Sequence[int]], str, str]] = {
    "HunyuanVideo": (
        {HEAD: (128,), "img_in.proj.weight": (64, 16, 1, 2, 2), "txt_in.individual_token_refiner.x": (1,), **QKV},
        "The nearest is Flux.1, of which it lacks time_in, vector_in",
        "double_blocks",
    ),
    "Chroma": (
        {HEAD: (128,), "img_in.weight": (64, 64), "distilled_guidance_layer.x": (1,), **QKV},
        "it has distilled_guidance_layer besides",
        "vector_in",
    ),
    "Wan": (
        {"blocks.0.self_attn.q.weight": (4, 4), "patch_embedding.weight": (4, 16, 1, 2, 2)},
        "none of these parts; its first tensors are blocks.0.self_attn.q.weight",
        "joint_blocks",
    ),
    "Cascade": ({"down_blocks.0.0.channelwise.0.weight": (4, 4), "clf.1.weight": (1,)}, "first tensors are", "Flux"),
}


def opened(monkeypatch: pytest.MonkeyPatch, tensors: Mapping[str, Stored]) -> Path:
    monkeypatch.setattr(separate, "open_weights", lambda _: WeightsFile("odd.safetensors", tensors, {}))
    return Path("odd.safetensors")


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "model."])
def test_a_foreign_network_is_not_sent_where_it_lies(monkeypatch: pytest.MonkeyPatch, name: str, prefix: str) -> None:
    shapes, told, looked_for = FOREIGN[name]
    tensors = {prefix + key: paper(tuple(shape)) for key, shape in shapes.items()}
    with pytest.raises(
        UnknownFamily, match=r"'odd\.safetensors' holds no .* architecture that is known here"
    ) as caught:
        load_network(opened(monkeypatch, tensors))
    assert prefix or told in caught.value.message
    assert "Stable Diffusion 3" in caught.value.message and looked_for in caught.value.message
    assert "models/" not in caught.value.remedy and "sdxl" in caught.value.remedy


def test_in_a_whole_checkpoint_too() -> None:
    tensors = {f"model.diffusion_model.{key}": paper(tuple(shape)) for key, shape in FOREIGN["Chroma"][0].items()}
    beside = {"first_stage_model.decoder.conv_in.weight": paper((4, 4, 3, 3))}
    with pytest.raises(UnknownFamily, match=r"nearest is Flux\.1"):
        checkpoint_of(WeightsFile("x", tensors | beside, {}), torch.float16)


@pytest.mark.parametrize(
    ("tensors", "gone"),
    [
        (network("sd1", ""), "input_blocks.0.0.weight"),
        (listed("dit_flux1_dev", ""), "vector_in.in_layer.weight"),
        (listed("mmdit_sd3_medium", ""), "context_embedder.weight"),
    ],
    ids=["sd1", "flux", "sd3"],
)
def test_a_known_network_without_what_tells_its_shape(
    monkeypatch: pytest.MonkeyPatch, tensors: dict[str, Stored], gone: str
) -> None:
    cut = {key: stored for key, stored in tensors.items() if key != gone}
    with pytest.raises(UnusableFile, match=f"lacks the tensor '{gone}'\\."):
        load_network(opened(monkeypatch, cut))


def test_a_lora_of_a_network_is_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = (f"diffusion_model.double_blocks.{index}.img_attn.qkv.lora_down.weight" for index in range(9))
    with pytest.raises(UnknownFamily, match="it is a LoRA"):
        load_network(opened(monkeypatch, {layer: paper((4, 8)) for layer in layers}))

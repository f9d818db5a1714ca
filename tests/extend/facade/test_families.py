"""Packs tell families of models and text encoders apart, by class and by tensors."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from app.diffusion.families import Family
from app.diffusion.model import DiffusionModel
from app.diffusion.models.clip_text import ClipText, ClipTextConfig
from app.diffusion.models.flux import FLUX_DEV, FLUX_FILL, FLUX_SCHNELL, DoubleBlock, FluxConfig, SingleBlock
from app.diffusion.models.mmdit import SD3_MEDIUM
from app.diffusion.published import PUBLISHED
from app.errors import InvalidRequest, Missing, UnusableFile
from app.extend.facade.bridge import FacadeHost
from app.weights.blank import blank
from app.weights.checkpoint import Checkpoint
from app.weights.network import network_of


class Shaped(nn.Module):
    """Stands for a network of that shape, of which packs ask the class alone."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.zeros(1))


# Our name → (class of the model, class of its configuration)
KINDS = {
    "sd1": ("BaseModel", "SD15"),
    "sd1-inpaint": ("BaseModel", "SD15"),
    "sd2": ("BaseModel", "SD20"),
    "sd2-unclip-h": ("SD21UNCLIP", "SD21UnclipH"),
    "sdxl": ("SDXL", "SDXL"),
    "sdxl-refiner": ("SDXLRefiner", "SDXLRefiner"),
    "segmind-vega": ("SDXL", "Segmind_Vega"),
    "koala-1b": ("SDXL", "KOALA_1B"),
    "ldm-text2img-large": ("BaseModel", "BASE"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_model_is_of_its_familys_class(host: FacadeHost, tiny: Checkpoint, name: str) -> None:
    base, known = importlib.import_module("comfy.model_base"), importlib.import_module("comfy.supported_models")
    family: Family = PUBLISHED[name]
    packed: Any = host.to_pack(replace(tiny.model, network=Shaped(family.unet), family=name))
    model, config = packed.model, packed.model.model_config
    assert (type(model).__name__, type(config).__name__) == KINDS[name]
    assert isinstance(model, base.BaseModel)
    assert isinstance(model, base.SDXL) == name.startswith(("sdxl", "segmind", "koala")) - (name == "sdxl-refiner")
    assert isinstance(config, known.BASE) and config.unet_config["context_dim"] == family.unet.context_width
    clone = packed.clone()
    clone.add_object_patch("model_sampling", packed.get_model_object("model_sampling"))
    assert isinstance(clone.model, type(model))


@pytest.mark.parametrize(
    ("config", "kinds"),
    [
        (SD3_MEDIUM, ("SD3", "SD3")),
        (FLUX_DEV, ("Flux", "Flux")),
        (FLUX_FILL, ("Flux", "FluxInpaint")),
        (FLUX_SCHNELL, ("Flux", "FluxSchnell")),
    ],
)
def test_transformers_too(host: FacadeHost, tiny: Checkpoint, config: Any, kinds: tuple[str, str]) -> None:
    model: DiffusionModel = replace(tiny.model, network=Shaped(config))
    packed: Any = host.to_pack(model)
    assert (type(packed.model).__name__, type(packed.model.model_config).__name__) == kinds


@pytest.mark.parametrize("name", ["sd1", "sd2", "sdxl", "sdxl-refiner", "flux"])
def test_tensors_tell_their_family(host: FacadeHost, name: str) -> None:
    detection = importlib.import_module("comfy.model_detection")
    config: Any = PUBLISHED[name].unet if name in PUBLISHED else replace(FLUX_DEV, double=1, single=1)
    with blank():
        state = network_of(config).state_dict()
    checkpoint = {f"model.diffusion_model.{key}": value for key, value in state.items()}
    prefix = detection.unet_prefix_from_state_dict(checkpoint)
    assert prefix == "model.diffusion_model."
    family = detection.model_config_from_unet(checkpoint, prefix)
    expected = {"sd1": "SD15", "sd2": "SD20", "sdxl": "SDXL", "sdxl-refiner": "SDXLRefiner", "flux": "Flux"}
    assert type(family).__name__ == expected[name]
    assert detection.unet_prefix_from_state_dict({"a": 1}) == "model."
    assert detection.model_config_from_unet({"a": torch.ones(1)}, "") is None


def test_an_unknown_shape_is_plain_if_asked(host: FacadeHost, tiny: Checkpoint) -> None:
    detection = importlib.import_module("comfy.model_detection")
    state = tiny.model.network.state_dict()
    assert detection.model_config_from_unet(state, "") is None
    plain = detection.model_config_from_unet(state, "", use_base_if_no_match=True)
    assert plain.unet_config["model_channels"] == 16
    plain.set_inference_dtype(torch.float16, None)
    assert plain.unet_config["dtype"] == torch.float16
    assert detection.convert_diffusers_mmdit(state) is None
    assert detection.unet_config_from_diffusers_unet(state) is None


def test_text_encoders_are_told_apart(host: FacadeHost) -> None:
    xl, first = importlib.import_module("comfy.sdxl_clip"), importlib.import_module("comfy.sd1_clip")
    small: dict[str, Any] = {"vocabulary": 8, "layers": 1, "heads": 2, "length": 4}
    with blank():
        large = ClipText(ClipTextConfig(width=768, **small))
        big = ClipText(ClipTextConfig(width=1280, **small))
    joined = nn.ModuleDict({"l": large, "g": big})
    kinds = (first.SD1ClipModel, xl.SDXLClipModel, xl.SDXLRefinerClipModel)
    assert [[isinstance(model, kind) for kind in kinds] for model in (large, joined, big)] == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]
    assert isinstance(big, xl.SDXLClipG) and not isinstance(object(), kinds)


def test_prompts_taken_apart(host: FacadeHost) -> None:
    first = importlib.import_module("comfy.sd1_clip")
    escaped = first.escape_important(r"a (red:1.5) \(cat\) (here)")
    parts = first.token_weights(escaped, 1.0)
    assert [(first.unescape_important(text), round(weight, 6)) for text, weight in parts] == [
        ("a ", 1.0),
        ("red", 1.5),
        (" (cat) ", 1.0),
        ("here", 1.1),
    ]
    assert first.token_weights("x", 0.5) == [("x", 0.5)]


def test_blocks_of_flux_as_packs_make_them(host: FacadeHost) -> None:
    layers, maths = importlib.import_module("comfy.ldm.flux.layers"), importlib.import_module("comfy.ldm.flux.math")
    torch.manual_seed(0)
    double = layers.DoubleStreamBlock(16, 2, mlp_ratio=4.0, qkv_bias=True, dtype=torch.float32, operations=None)
    single = layers.SingleStreamBlock(16, 2, mlp_ratio=4.0)
    img, txt, vec = torch.randn(1, 3, 16), torch.randn(1, 2, 16), torch.randn(1, 16)
    pe = maths.rope(torch.arange(5.0)[None], 8, 10_000)[:, None]
    with torch.no_grad():
        out = double(img=img, txt=txt, vec=vec, pe=pe, attn_mask=None)
        ours = DoubleBlock(FluxConfig(width=16, heads=2))
        ours.load_state_dict(double.state_dict())
        angles = pe[0, 0, :, :, 0, 0], pe[0, 0, :, :, 1, 0]
        for mine, theirs in zip(ours(img, txt, vec, angles), out, strict=True):
            assert torch.equal(mine, theirs)
        assert single(torch.cat([txt, img], 1), vec=vec, pe=pe).shape == (1, 5, 16)
    assert isinstance(ours, layers.DoubleStreamBlock) and not isinstance(ours, layers.SingleStreamBlock)
    assert isinstance(SingleBlock(FluxConfig(width=16, heads=2)), layers.SingleStreamBlock)
    with pytest.raises(InvalidRequest, match="four times"):
        layers.SingleStreamBlock(16, 2, mlp_ratio=3.0)


def test_text_encoders_from_files(host: FacadeHost, tmp_path: Path) -> None:
    sd = importlib.import_module("comfy.sd")
    with pytest.raises(InvalidRequest, match="MOCHI are not among"):
        sd.load_clip(["a.safetensors"], clip_type=sd.CLIPType.MOCHI)
    with pytest.raises(Missing):
        sd.load_clip([str(tmp_path / "none.safetensors")])
    with blank():
        tower = ClipText(ClipTextConfig(layers=1))
    tensors = {name: torch.zeros(value.shape, dtype=torch.float16) for name, value in tower.state_dict().items()}
    save_file(tensors, tmp_path / "l.safetensors")
    with pytest.raises(UnusableFile, match=r"lacks the tensor 'text_model\.encoder\.layers\.1"):
        sd.load_clip([str(tmp_path / "l.safetensors")], clip_type=sd.CLIPType.STABLE_DIFFUSION)
    with pytest.raises(InvalidRequest, match="do not make a text encoder of type sdxl"):
        sd.load_clip([str(tmp_path / "l.safetensors")] * 2)

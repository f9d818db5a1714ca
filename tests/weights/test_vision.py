"""Vision towers from files: both layouts, any size, and what is said of other files."""

from __future__ import annotations

import pytest
import torch

from app.diffusion.models.clip_vision import ClipVision, ClipVisionConfig, clip_vision_config
from app.errors import UnknownFamily, UnusableFile
from app.weights.stored import WeightsFile, held
from app.weights.vision import clip_vision_of
from tests.weights.paper import listed

SMALL = ClipVisionConfig(32, 2, 16, 48, 4, 12, "gelu", 8)
NAMES = {
    "vision_model.embeddings.class_embedding": "class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "positional_embedding",
    "vision_model.pre_layrnorm.": "ln_pre.",
    "vision_model.post_layernorm.": "ln_post.",
    "vision_model.encoder.layers.": "transformer.resblocks.",
    ".layer_norm": ".ln_",
    ".mlp.fc1.": ".mlp.c_fc.",
    ".mlp.fc2.": ".mlp.c_proj.",
    ".self_attn.out_proj.": ".attn.out_proj.",
}


def tower() -> ClipVision:
    torch.manual_seed(8)
    return ClipVision(SMALL).eval()


def in_open_clip(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors as OpenCLIP names them."""
    theirs: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        name = key
        for ours, other in NAMES.items():
            name = name.replace(ours, other)
        theirs[name] = value
    theirs["proj"] = theirs.pop("visual_projection.weight").T.contiguous()
    for layer in range(SMALL.layers):
        for kind in ("weight", "bias"):
            names = [f"transformer.resblocks.{layer}.self_attn.{part}_proj.{kind}" for part in "qkv"]
            theirs[f"transformer.resblocks.{layer}.attn.in_proj_{kind}"] = torch.cat([theirs.pop(n) for n in names])
    return theirs


@pytest.mark.parametrize("prefix", ["", "embedder.model."])
@pytest.mark.parametrize("layout", ["transformers", "open_clip"])
def test_a_tower_in_either_layout_is_the_same(prefix: str, layout: str) -> None:
    whole = tower()
    state = whole.state_dict()
    if layout == "open_clip":
        state = {f"visual.{key}": value for key, value in in_open_clip(state).items()}
    file = WeightsFile("vision.safetensors", held({prefix + key: value for key, value in state.items()}), {})
    read = clip_vision_of(file)
    assert read.config == SMALL
    pixels = torch.randn(2, 3, 12, 12)
    torch.testing.assert_close(read(pixels).image_embeds, whole(pixels).image_embeds)


def test_a_file_of_another_kind_is_named() -> None:
    file = WeightsFile("clip.safetensors", listed("clip_l_text_hf", ""), {})
    with pytest.raises(UnknownFamily, match="a text encoder") as told:
        clip_vision_of(file)
    assert "models/text_encoders" in told.value.remedy


def test_what_is_missing_is_named() -> None:
    state = tower().state_dict()
    del state["visual_projection.weight"]
    with pytest.raises(UnusableFile, match=r"'visual_projection\.weight' is missing"):
        clip_vision_of(WeightsFile("vision.safetensors", held(state), {}))


@pytest.mark.parametrize("head", [True, False])
def test_siglips_tower_is_told_by_its_tensors(head: bool) -> None:
    torch.manual_seed(9)
    config = ClipVisionConfig(32, 2, 16, 48, 4, 12, "gelu_tanh", 0, sigmoid=True, head=head)
    ours = ClipVision(config).eval()
    found = clip_vision_of(WeightsFile("siglip", held(ours.state_dict()), {}))
    assert found.config == config
    image = torch.rand(1, 20, 30, 3)
    with torch.no_grad():
        for one, other in zip(
            (found(found.look(image)).last_hidden_state, found.look(image)),
            (ours(ours.look(image)).last_hidden_state, ours.look(image)),
            strict=True,
        ):
            assert torch.equal(one, other)
    assert float(ours.look(torch.ones(1, 20, 30, 3)).max()) == 1.0
    assert float(ours.look(torch.zeros(1, 20, 30, 3)).min()) == -1.0


def test_the_published_siglip_looks_at_384_pixels() -> None:
    shapes = {
        "vision_model.embeddings.patch_embedding.weight": (1152, 3, 14, 14),
        "vision_model.embeddings.position_embedding.weight": (729, 1152),
        "vision_model.encoder.layers.0.mlp.fc1.weight": (4304, 1152),
    }
    config = clip_vision_config(shapes)
    assert (config.size, config.heads, config.inner, config.head) == (384, 16, 4304, False)

"""Text encoders from files of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from app.diffusion.conditioning.joined import JoinedEncoder
from app.diffusion.conditioning.text_encoder import TextEncoder
from app.diffusion.models.bert import Bert, BertConfig
from app.diffusion.models.t5 import T5Config, T5Encoder
from app.errors import InvalidRequest, Missing, UnknownFamily
from app.weights.stored import WeightsFile, held
from app.weights.text_files import MAKERS, encoder_of_files, load_text_encoder, tower_in
from tests.weights.paper import listed, paper
from tests.weights.test_vocabularies import BERT as VOCABULARY
from tests.weights.test_vocabularies import sentencepiece

MANIFESTS = {"l": "clip_l_text_hf", "h": "openclip_h_text", "g": "openclip_bigG_text", "bert": "bert_txt2img-1p4B"}


def clip(tower: str, prefix: str = "") -> WeightsFile:
    return WeightsFile(f"{tower}.safetensors", listed(MANIFESTS[tower], prefix), {})


def t5_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return T5Encoder(T5Config(30, 16, 24, 2, 4, 8)).state_dict()


def t5(prefix: str = "") -> WeightsFile:
    return WeightsFile("t5.safetensors", held({prefix + name: value for name, value in t5_state().items()}), {})


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    (tmp_path / "spiece.model").write_bytes(sentencepiece("red", "circle"))
    (tmp_path / "vocab.txt").write_text(VOCABULARY)
    return [tmp_path]


@pytest.mark.parametrize("tower", MANIFESTS)
@pytest.mark.parametrize("prefix", ["", "text_encoders.clip.transformer."])
def test_the_tower_in_a_file_is_told(tower: str, prefix: str) -> None:
    found = tower_in(clip(tower, prefix))
    assert (found.tower, found.prefix) == (tower, prefix)
    assert not any(name.startswith("text_encoders") for name in found.tensors)


def test_t5_is_told_by_its_attention() -> None:
    assert tower_in(t5("text_encoders.t5xxl.transformer.")).tower == "t5xxl"


def test_a_file_of_another_kind_is_named() -> None:
    vae = WeightsFile("vae.safetensors", listed("firststage_kl-f8", ""), {})
    with pytest.raises(UnknownFamily, match="a VAE") as told:
        tower_in(vae)
    assert "models/vae" in told.value.remedy


@pytest.mark.parametrize(
    "layer", ["vision_model.encoder.layers.{}.mlp.fc1.weight", "visual.transformer.resblocks.{}.mlp.c_fc.weight"]
)
def test_a_vision_tower_is_no_text_tower(layer: str) -> None:
    vision = {layer.format(index): paper((4, 4)) for index in range(32)}
    with pytest.raises(UnknownFamily, match="it is a vision encoder") as told:
        tower_in(WeightsFile("vision.safetensors", vision, {}))
    assert "models/clip_vision" in told.value.remedy
    both = WeightsFile("both.safetensors", listed("openclip_h_text", "") | vision, {})
    assert (tower_in(both).tower, tower_in(both).prefix) == ("h", "")


def test_a_text_encoder_that_is_not_known_is_not_sent_where_it_lies() -> None:
    with pytest.raises(UnknownFamily, match="the layers of CLIP, T5 or BERT were looked for") as told:
        tower_in(WeightsFile("odd.safetensors", {"text_model.other.weight": paper((4,))}, {}))
    assert "models/" not in told.value.remedy


@pytest.mark.parametrize(
    ("kind", "towers", "made"),
    [
        ("stable_diffusion", "l", {"l"}),
        ("stable_diffusion", "h", {"h"}),
        ("stable_diffusion", "g", {"g"}),
        ("sdxl", "lg", {"l", "g"}),
        ("sdxl", "gl", {"l", "g"}),
        ("sd3", "lg", {"l", "g"}),
        ("sd3", "g", {"g"}),
    ],
)
def test_files_in_any_order_make_an_encoder(kind: str, towers: str, made: set[str]) -> None:
    encoder = encoder_of_files([clip(tower) for tower in towers], kind, [], torch.float16)
    assert set(encoder.towers) == made
    assert isinstance(encoder, JoinedEncoder if kind != "stable_diffusion" else TextEncoder)


def test_layers_and_padding_are_the_families() -> None:
    first, second, refiner = (encoder_of_files([clip(t)], "stable_diffusion", [], torch.float16) for t in "lhg")
    for encoder, layer, normalise, padding in (
        (first, -1, True, None),
        (second, -2, True, 0),
        (refiner, -2, False, 0),
    ):
        assert isinstance(encoder, TextEncoder)
        assert (encoder.layer, encoder.normalise, encoder.padding) == (layer, normalise, padding)


def test_t5_encodes_with_the_users_vocabulary(folders: list[Path]) -> None:
    encoder = encoder_of_files([t5()], "sd3", folders)
    assert encoder.encode("red circle").context.shape == (1, 77, 16)
    assert encoder.chunks_of("red circle")["t5xxl"][0].tokens[:4] == (3, 4, 1, 0)


def test_flux_takes_t5_and_l(folders: list[Path]) -> None:
    encoder = encoder_of_files([t5(), clip("l")], "flux", folders, torch.float16)
    assert encoder.chunks_of("red")["t5xxl"][0].tokens[:3] == (3, 1, 0)
    assert len(encoder.chunks_of("red")["t5xxl"][0].tokens) == 256


def test_bert_encodes_with_the_users_vocabulary(folders: list[Path]) -> None:
    tower = Bert(BertConfig(31_000, 16, 1))
    file = WeightsFile("bert.safetensors", held(tower.state_dict()), {})
    encoder = encoder_of_files([file], "stable_diffusion", folders)
    assert encoder.encode("red circle").context.shape == (1, 77, 16)
    assert encoder.chunks_of("red circle")["bert"][0].tokens[:5] == (2, 4, 5, 3, 0)


@pytest.mark.parametrize(("kind", "towers"), [("sdxl", "ll"), ("sdxl", "lh"), ("flux", "lg"), ("sd3", "h")])
def test_towers_that_do_not_belong_together_are_named(kind: str, towers: str) -> None:
    with pytest.raises(InvalidRequest, match=f"of type {kind}: 'l|'h") as told:
        encoder_of_files([clip(tower) for tower in towers], kind, [], torch.float16)
    assert "CLIP" in told.value.remedy


def test_a_missing_vocabulary_is_told_before_the_weights_are_read(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="T5 needs its vocabulary"):
        encoder_of_files([t5()], "sd3", [tmp_path])


def test_every_kind_can_be_made_of_something() -> None:
    assert set(MAKERS) == {"stable_diffusion", "sdxl", "sd3", "flux"}
    assert all(MAKERS.values())


def test_a_file_on_the_disk(tmp_path: Path, folders: list[Path]) -> None:
    path = tmp_path / "t5.safetensors"
    save_file(t5_state(), path)
    assert load_text_encoder([path], "sd3", folders).encode("red").context.shape == (1, 77, 16)

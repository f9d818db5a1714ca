"""Networks from files of their own, in whichever names; conditions that are no text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from app.diffusion.models.class_embedder import ClassEmbedder
from app.diffusion.models.layout_embedder import LayoutEmbedder
from app.diffusion.models.spatial_rescaler import SpatialRescaler
from app.errors import Missing, UnknownFamily, UnusableFile
from app.weights import separate
from app.weights.checkpoint import checkpoint_of
from app.weights.kinds import KINDS, kind_of
from app.weights.parts import network_prefix, parts_of
from app.weights.separate import load_first_stage, load_folder, load_network
from app.weights.stored import Stored, WeightsFile
from app.weights.towers import BERT_PREFIX
from tests.weights.paper import checkpoint, first_stage, listed, network, paper


def opened(monkeypatch: pytest.MonkeyPatch, tensors: dict[str, Stored]) -> Path:
    """Lets a file of that name hold those tensors, which would take gigabytes on a disk."""
    file = WeightsFile("paper.safetensors", tensors, {})
    monkeypatch.setattr(separate, "open_weights", lambda _: file)
    return Path("paper.safetensors")


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "diffusion_model."])
def test_a_network_alone_under_every_prefix(monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    model = load_network(opened(monkeypatch, network("koala-700m", prefix)), torch.float16)
    assert model.family == "koala-700m"
    assert model.sampling.sigma_max == pytest.approx(14.6146, abs=1e-3)


def test_a_first_stage_is_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownFamily, match="it is a VAE"):
        load_network(opened(monkeypatch, first_stage("sd1", "")))


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        load_folder(tmp_path / "none")


def test_conditions_that_are_no_text() -> None:
    tables = {
        "ldm-cin256-v2": ({"cond_stage_model.embedding.weight": paper((1001, 512))}, ClassEmbedder),
        "ldm-semantic-synthesis": ({"cond_stage_model.channel_mapper.weight": paper((3, 182, 1, 1))}, SpatialRescaler),
        "ldm-layout2img": (listed("bert_layout2img", BERT_PREFIX), LayoutEmbedder),
    }
    for family, (tensors, kind) in tables.items():
        assert isinstance(checkpoint_of(checkpoint(family, tensors), torch.float16).clip, kind)


def test_what_lies_beside_the_parts_is_the_rest() -> None:
    file = checkpoint("ldm-churches", {"scale_factor": paper(()), "model_ema.decay": paper(()), "betas": paper((9,))})
    parts = parts_of(file.tensors)
    assert set(parts.rest) == {"scale_factor", "betas"}
    assert parts.network_prefix == "model.diffusion_model."
    assert "encoder.conv_in.weight" in parts.first_stage


def test_a_prefix_needs_more_than_an_accident() -> None:
    assert network_prefix({"net.a": paper((1,)), "other": paper((1,))}) is None
    assert network_prefix({}) is None
    assert network_prefix({f"net.{i}": paper((1,)) for i in range(9)}) == "net."


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.what)
def test_every_kind_has_a_place(kind: object) -> None:
    assert getattr(kind, "what", "").startswith(("a ", "an "))
    assert "models/" in getattr(kind, "remedy", "")


@pytest.mark.parametrize("ending", ["a1.weight", "a2.weight", "b1.weight", "b2.weight", "lora_A", "lora_B"])
def test_adapters_are_told_by_every_part(ending: str) -> None:
    kind = kind_of({f"lora_unet_x.{ending}": paper((4, 4))})
    assert kind is not None
    assert "models/loras" in kind.remedy


def test_a_first_stage_alone_without_what_tells_its_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = first_stage("sd1", "")
    del tensors["decoder.conv_in.weight"]
    with pytest.raises(UnusableFile, match=r"lacks the tensor 'decoder\.conv_in\.weight'\."):
        load_first_stage(opened(monkeypatch, tensors))


def test_a_checkpoint_is_of_no_lesser_kind() -> None:
    assert kind_of({"model.diffusion_model.input_blocks.0.0.weight": paper((1,))}) is None

"""Built without memory, text towers have exactly the published names and shapes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.diffusion.conditioning.encoders import CLIP_G, CLIP_H, CLIP_L
from app.diffusion.models.bert import Bert, BertConfig
from app.diffusion.models.clip_text import ClipText
from app.diffusion.models.open_clip_text import from_open_clip, to_open_clip

MANIFESTS = Path(__file__).parents[2] / "data" / "manifests"
TOWERS: dict[str, Callable[[], Mapping[str, Tensor]]] = {
    "clip_l_text_hf": lambda: ClipText(CLIP_L).state_dict(),
    "openclip_h_text": lambda: to_open_clip(ClipText(CLIP_H).state_dict()),
    "openclip_bigG_text": lambda: to_open_clip(ClipText(CLIP_G).state_dict()),
    "bert_txt2img-1p4B": lambda: Bert(BertConfig()).state_dict(),
    "bert_text2img256": lambda: Bert(BertConfig(width=640)).state_dict(),
    "bert_layout2img": lambda: Bert(BertConfig(8192, 512, 16, 92)).state_dict(),
}


def published(name: str) -> dict[str, list[int]]:
    return json.loads((MANIFESTS / f"{name}.json").read_text())


@pytest.mark.parametrize("name", TOWERS)
def test_a_meta_build_has_the_published_keys(name: str) -> None:
    with torch.device("meta"):
        ours = TOWERS[name]()
    assert {key: list(value.shape) for key, value in ours.items()} == published(name)


@pytest.mark.parametrize(("name", "config"), [("openclip_h_text", CLIP_H), ("openclip_bigG_text", CLIP_G)])
def test_published_files_fill_a_tower(name: str, config: object) -> None:
    with torch.device("meta"):
        tower = ClipText(CLIP_H if config is CLIP_H else CLIP_G)
        theirs = {key: torch.empty(shape) for key, shape in published(name).items()}
    tower.load_state_dict(from_open_clip(theirs), assign=True)

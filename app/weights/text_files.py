"""Text encoders from files of their own: which tower a file holds, and what towers make together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from app.diffusion.conditioning.encoders import (
    bert_encoder,
    flux_encoder,
    refiner_encoder,
    sd1_encoder,
    sd2_encoder,
    sd3_encoder,
    sdxl_encoder,
)
from app.diffusion.conditioning.text_encoder import PromptEncoder, TextTower, Words
from app.diffusion.models.bert import Bert
from app.diffusion.models.clip_text import ClipText
from app.diffusion.models.t5 import T5Encoder
from app.errors import InvalidRequest
from app.weights.kinds import refused
from app.weights.language import BERT_MARK, T5_MARK, bert_tower, t5_tower
from app.weights.opening import open_weights
from app.weights.stored import Tensors, WeightsFile, below
from app.weights.towers import NAMES, clip_tower
from app.weights.vocabularies import find_words

# A tensor that tells the tower, the deepest one first: G has 32 layers, H 24, L 12.
_LAYERS = (("g", 30), ("h", 22), ("l", 0))
MARKS: tuple[tuple[str, str], ...] = (
    ("t5xxl", T5_MARK),
    ("bert", BERT_MARK),
    *((tower, f"text_model.encoder.layers.{layer}.mlp.fc1.weight") for tower, layer in _LAYERS),
    *((tower, f"transformer.resblocks.{layer}.mlp.c_fc.weight") for tower, layer in _LAYERS),
    ("l", "encoder.layers.0.mlp.fc1.weight"),
)
# What stands before the layers of vision towers, whose names are the same.
VISION = ("vision_model.", "visual.")


@dataclass(frozen=True, slots=True)
class TowerFile:
    """The tower in a file: its name, its tensors without what stands before their names, and that."""

    file: str
    tower: str
    tensors: Tensors
    prefix: str


def tower_in(file: WeightsFile) -> TowerFile:
    """The text tower that a file holds. Raises UnknownFamily for one that holds none, and says what it is."""
    for tower, mark in MARKS:
        for key in file.tensors:
            prefix = key.removesuffix(mark)
            if key.endswith(mark) and not prefix.endswith(VISION):
                return TowerFile(file.name, tower, below(prefix, file.tensors), prefix)
    raise refused(file.tensors, file.name, "a text encoder", "the layers of CLIP, T5 or BERT")


@dataclass(frozen=True, slots=True)
class LoadedTower:
    """A tower in memory, the file that it came from, and the tokenizer where it needs one from the user."""

    file: str
    tower: str
    model: TextTower
    words: Words | None = None


def load_tower(part: TowerFile, folders: Sequence[Path], dtype: torch.dtype = torch.float32) -> LoadedTower:
    """The tower of a file; `folders` are where vocabularies lie.

    Raises:
        Missing: no vocabulary for T5 or BERT, told before the weights are read.
        UnusableFile: a tower or a vocabulary that cannot be used.
    """
    if part.tower == "t5xxl":
        words = find_words("t5", folders, part.tensors)
        return LoadedTower(part.file, part.tower, t5_tower(part.tensors, part.file, part.prefix), words)
    if part.tower == "bert":
        words = find_words("bert", folders)
        return LoadedTower(part.file, part.tower, bert_tower(part.tensors, part.file, dtype, part.prefix), words)
    return LoadedTower(part.file, part.tower, clip_tower(part.tower, part.tensors, part.file, dtype, part.prefix))


class Towers:
    """Loaded towers by kind."""

    def __init__(self, towers: Sequence[LoadedTower]) -> None:
        self.clip = {each.tower: each.model for each in towers if isinstance(each.model, ClipText)}
        t5 = [(each.model, each.words) for each in towers if isinstance(each.model, T5Encoder) and each.words]
        bert = [(each.model, each.words) for each in towers if isinstance(each.model, Bert) and each.words]
        self.t5, self.bert = (t5[0] if t5 else None), (bert[0] if bert else None)


def _single(towers: Towers) -> PromptEncoder:
    if towers.bert:
        return bert_encoder(*towers.bert)
    ((name, tower),) = towers.clip.items()
    return {"l": sd1_encoder, "h": sd2_encoder, "g": refiner_encoder}[name](tower)


def _sdxl(towers: Towers) -> PromptEncoder:
    return sdxl_encoder(towers.clip["l"], towers.clip["g"])


def _sd3(towers: Towers) -> PromptEncoder:
    return sd3_encoder(towers.clip.get("l"), towers.clip.get("g"), towers.t5)


def _flux(towers: Towers) -> PromptEncoder:
    return flux_encoder(towers.clip["l"], towers.t5) if towers.t5 else sd1_encoder(towers.clip["l"])


Make = Callable[[Towers], PromptEncoder]
# For each type that users choose: the sets of towers that it is made of, and how.
MAKERS: Mapping[str, tuple[Sequence[set[str]], Make]] = {
    "stable_diffusion": (({"l"}, {"h"}, {"g"}, {"bert"}), _single),
    "sdxl": (({"l", "g"},), _sdxl),
    "flux": (({"l", "t5xxl"},), _flux),
    "sd3": (
        ({"l", "g", "t5xxl"}, {"l", "g"}, {"l", "t5xxl"}, {"g", "t5xxl"}, {"l"}, {"g"}, {"t5xxl"}),
        _sd3,
    ),
}


def check_towers(kind: str, towers: Sequence[TowerFile | LoadedTower]) -> None:
    """Raises InvalidRequest unless the towers, in any order, make an encoder of that kind, one of `MAKERS`."""
    names = [each.tower for each in towers]
    if len(set(names)) == len(names) and set(names) in MAKERS[kind][0]:
        return
    told = ", ".join(f"{each.file!r} holds {NAMES[each.tower]}" for each in towers)
    sets = [" and ".join(name for tower, name in NAMES.items() if tower in wanted) for wanted in MAKERS[kind][0]]
    raise InvalidRequest(
        f"These files do not make a text encoder of type {kind}: {told}.",
        remedy=f"That type takes {'; or '.join(sets)}.",
    )


def encoder_of_towers(kind: str, towers: Sequence[LoadedTower]) -> PromptEncoder:
    """One encoder of several towers. Raises InvalidRequest as `check_towers` does."""
    check_towers(kind, towers)
    return MAKERS[kind][1](Towers(towers))


def encoder_of_files(
    files: Sequence[WeightsFile], kind: str, folders: Sequence[Path], dtype: torch.dtype = torch.float32
) -> PromptEncoder:
    """One encoder from one file per tower, in any order; `kind` is one of `MAKERS`.

    Raises:
        Missing, UnusableFile: a damaged file, or no vocabulary for T5 or BERT.
        UnknownFamily: a file that holds no text tower.
        InvalidRequest: towers that do not make an encoder of that kind.
    """
    parts = [tower_in(file) for file in files]
    check_towers(kind, parts)
    return encoder_of_towers(kind, [load_tower(part, folders, dtype) for part in parts])


def load_text_encoder(
    paths: Sequence[Path], kind: str, folders: Sequence[Path], dtype: torch.dtype = torch.float32
) -> PromptEncoder:
    """As `encoder_of_files`, from files on the disk."""
    return encoder_of_files([open_weights(path) for path in paths], kind, folders, dtype)

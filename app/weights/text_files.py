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
from app.diffusion.conditioning.text_encoder import PromptEncoder, Words
from app.diffusion.models.bert import Bert
from app.diffusion.models.clip_text import ClipText
from app.diffusion.models.t5 import T5Encoder
from app.errors import InvalidRequest
from app.weights.kinds import refused
from app.weights.language import BERT_MARK, T5_MARK, bert_tower, t5_tower
from app.weights.opening import open_weights
from app.weights.stored import Tensors, WeightsFile, below
from app.weights.towers import clip_tower
from app.weights.vocabularies import find_words

NAMES = {"l": "CLIP L", "h": "CLIP H", "g": "CLIP G (bigG)", "t5xxl": "T5", "bert": "BERT"}
# A tensor that tells the tower, the deepest one first: G has 32 layers, H 24, L 12.
_LAYERS = (("g", 30), ("h", 22), ("l", 0))
MARKS: tuple[tuple[str, str], ...] = (
    ("t5xxl", T5_MARK),
    ("bert", BERT_MARK),
    *((tower, f"text_model.encoder.layers.{layer}.mlp.fc1.weight") for tower, layer in _LAYERS),
    *((tower, f"transformer.resblocks.{layer}.mlp.c_fc.weight") for tower, layer in _LAYERS),
    ("l", "encoder.layers.0.mlp.fc1.weight"),
)


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
            if key.endswith(mark):
                prefix = key.removesuffix(mark)
                return TowerFile(file.name, tower, below(prefix, file.tensors), prefix)
    raise refused(file.tensors, file.name, "a text encoder", "the layers of CLIP, T5 or BERT")


Parts = Mapping[str, TowerFile]


@dataclass(frozen=True, slots=True)
class Builder:
    """Makes an encoder of towers; `folders` are where vocabularies lie."""

    folders: Sequence[Path]
    dtype: torch.dtype = torch.float32

    def clip(self, part: TowerFile) -> ClipText:
        """A CLIP tower."""
        return clip_tower(part.tower, part.tensors, part.file, self.dtype, part.prefix)

    def t5(self, part: TowerFile) -> tuple[T5Encoder, Words]:
        """T5 and its tokenizer; the tokenizer first, because it is missing sooner."""
        words = find_words("t5", self.folders, part.tensors)
        return t5_tower(part.tensors, part.file, part.prefix), words

    def bert(self, part: TowerFile) -> tuple[Bert, Words]:
        """BERT and its tokenizer."""
        words = find_words("bert", self.folders)
        return bert_tower(part.tensors, part.file, self.dtype, part.prefix), words


def _sd3(build: Builder, parts: Parts) -> PromptEncoder:
    clip_l, clip_g = (build.clip(parts[name]) if name in parts else None for name in ("l", "g"))
    return sd3_encoder(clip_l, clip_g, build.t5(parts["t5xxl"]) if "t5xxl" in parts else None)


Make = Callable[[Builder, Parts], PromptEncoder]
# For each type that users choose: the sets of towers that it is made of, and how.
MAKERS: Mapping[str, Sequence[tuple[frozenset[str], Make]]] = {
    "stable_diffusion": (
        (frozenset("l"), lambda build, parts: sd1_encoder(build.clip(parts["l"]))),
        (frozenset("h"), lambda build, parts: sd2_encoder(build.clip(parts["h"]))),
        (frozenset("g"), lambda build, parts: refiner_encoder(build.clip(parts["g"]))),
        (frozenset({"bert"}), lambda build, parts: bert_encoder(*build.bert(parts["bert"]))),
    ),
    "sdxl": ((frozenset("lg"), lambda build, parts: sdxl_encoder(build.clip(parts["l"]), build.clip(parts["g"]))),),
    "flux": (
        (
            frozenset({"l", "t5xxl"}),
            lambda build, parts: flux_encoder(build.clip(parts["l"]), build.t5(parts["t5xxl"])),
        ),
    ),
    "sd3": tuple(
        (frozenset(names), _sd3)
        for names in (
            {"l", "g", "t5xxl"},
            {"l", "g"},
            {"l", "t5xxl"},
            {"g", "t5xxl"},
            {"l"},
            {"g"},
            {"t5xxl"},
        )
    ),
}


def load_text_encoder(
    paths: Sequence[Path], kind: str, folders: Sequence[Path], dtype: torch.dtype = torch.float32
) -> PromptEncoder:
    """One encoder from one file per tower, in any order; `kind` is one of `MAKERS`.

    Raises:
        Missing, UnusableFile: no file, a damaged one, or no vocabulary for T5 or BERT.
        UnknownFamily: a file that holds no text tower.
        InvalidRequest: towers that do not make an encoder of that kind.
    """
    return encoder_of_files([open_weights(path) for path in paths], kind, folders, dtype)


def encoder_of_files(
    files: Sequence[WeightsFile], kind: str, folders: Sequence[Path], dtype: torch.dtype = torch.float32
) -> PromptEncoder:
    """As `load_text_encoder`, from open files."""
    found = [tower_in(file) for file in files]
    parts = {part.tower: part for part in found}
    makers = MAKERS[kind]
    for towers, make in makers:
        if towers == parts.keys() and len(found) == len(parts):
            return make(Builder(folders, dtype), parts)
    told = ", ".join(f"{part.file!r} holds {NAMES[part.tower]}" for part in found)
    wanted = "; or ".join(" and ".join(NAMES[name] for name in NAMES if name in towers) for towers, _ in makers)
    raise InvalidRequest(
        f"These files do not make a text encoder of type {kind}: {told}.", remedy=f"That type takes {wanted}."
    )

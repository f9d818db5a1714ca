"""Models that are told by text: with the vocabularies that their files lack, and with embeddings by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.context.embeddings import EmbeddingFolder
from app.diffusion.conditioning.joined import JoinedEncoder
from app.diffusion.conditioning.text_encoder import PromptEncoder, TextEncoder
from app.store.folders import Folders
from app.weights.checkpoint import Checkpoint, load_checkpoint
from app.weights.opening import open_weights
from app.weights.precision import Precision
from app.weights.separate import load_folder
from app.weights.text_files import LoadedTower, TowerFile, encoder_of_towers, load_tower, tower_in


@dataclass(frozen=True, slots=True)
class TextFiles:
    """What reads files that hold text encoders."""

    folders: Folders
    precision: Precision = field(default=Precision())

    @property
    def vocabularies(self) -> Sequence[Path]:
        """Where those of T5 and BERT lie."""
        return self.folders.models.get("text_encoders", ())

    def checkpoint(self, path: Path, *, ema: bool = False) -> Checkpoint:
        """As `weights.checkpoint.load_checkpoint`; its text encoder knows the user's embeddings."""
        return self._with_embeddings(load_checkpoint(path, self.precision, ema=ema, vocabularies=self.vocabularies))

    def folder(self, path: Path) -> Checkpoint:
        """As `weights.separate.load_folder`; its text encoder knows the user's embeddings."""
        return self._with_embeddings(load_folder(path, self.precision, vocabularies=self.vocabularies))

    def _with_embeddings(self, checkpoint: Checkpoint) -> Checkpoint:
        # Models of latent diffusion are told classes or maps instead, others nothing.
        if not isinstance(checkpoint.clip, TextEncoder | JoinedEncoder):
            return checkpoint
        return replace(checkpoint, clip=checkpoint.clip.with_embeddings(EmbeddingFolder(self.folders)))

    def told(self, path: Path) -> TowerFile:
        """Which tower a file holds; its weights are not read."""
        return tower_in(open_weights(path))

    def tower(self, path: Path) -> LoadedTower:
        """The tower in a file."""
        return load_tower(self.told(path), self.vocabularies, self.precision.text)

    def encoder(self, kind: str, towers: Sequence[LoadedTower]) -> PromptEncoder:
        """Towers as one encoder, which knows the user's embeddings."""
        return encoder_of_towers(kind, towers).with_embeddings(EmbeddingFolder(self.folders))

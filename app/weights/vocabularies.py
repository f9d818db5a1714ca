"""The vocabularies of T5 and BERT, which come from the user's files.

T5's is a file that ends in spiece.model, or in tokenizer.json; BERT's one that ends in vocab.txt. They are looked for
in the folders of text encoders and one folder below; a tower's file may also carry T5's within itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from app.diffusion.conditioning.text_encoder import Words
from app.diffusion.conditioning.unigram import words_of_sentencepiece, words_of_tokenizer_json
from app.diffusion.conditioning.wordpiece import WordPieces
from app.errors import Missing, UnusableFile
from app.weights.stored import Tensors

LARGEST = 64 << 20  # bytes; T5's have one or two million
EMBEDDED = "spiece_model"  # the tensor of bytes in which some files carry their vocabulary
REMEDIES = {
    "t5": "Copy spiece.model or tokenizer.json from the folder of a T5 model (google/t5-v1_1-xxl, or tokenizer_2 or "
    "tokenizer_3 beside a diffusers model) into models/text_encoders.",
    "bert": "Copy vocab.txt from the folder of bert-base-uncased into models/text_encoders.",
}
ENDINGS = {"t5": ("spiece.model", "tokenizer.json"), "bert": ("vocab.txt",)}
NAMES = {"t5": "T5", "bert": "BERT"}


def find_words(kind: str, folders: Sequence[Path], tensors: Tensors | None = None) -> Words:
    """The tokenizer of a kind, "t5" or "bert"; from the tower's own `tensors` if it is among them.

    Raises:
        Missing: there is none; says where to put it.
        UnusableFile: there are files of the right name, and none of them can be used.
    """
    if tensors and EMBEDDED in tensors:
        return words_of_sentencepiece(tensors[EMBEDDED].read().to(torch.uint8).flatten().numpy().tobytes(), EMBEDDED)
    failure: UnusableFile | None = None
    for file in _candidates(ENDINGS[kind], folders):
        try:
            return read_words(file)
        except UnusableFile as error:
            failure = failure or error
    if failure is not None:
        raise failure
    raise Missing(
        f"The text encoder {NAMES[kind]} needs its vocabulary, and there is none: looked for *"
        f"{' and *'.join(ENDINGS[kind])}.",
        remedy=REMEDIES[kind],
    )


def read_words(file: Path) -> Words:
    """The tokenizer in one file, by the end of its name. Raises UnusableFile."""
    if file.stat().st_size > LARGEST:
        raise UnusableFile(f"The file {file.name!r} is too large for a vocabulary.", remedy="Take another file.")
    data = file.read_bytes()
    if file.name.endswith(".model"):
        return words_of_sentencepiece(data, file.name)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UnusableFile(f"The vocabulary {file.name!r} is no text.", remedy="Copy it again.") from error
    return (
        words_of_tokenizer_json(text, file.name) if file.suffix == ".json" else WordPieces(text.splitlines(), file.name)
    )


def _candidates(endings: Sequence[str], folders: Sequence[Path]) -> Iterator[Path]:
    """Files by the order of endings, then of folders; those in a folder before those below it."""
    for ending in endings:
        for folder in folders:
            for pattern in (f"*{ending}", f"*/*{ending}"):
                yield from sorted(path for path in folder.glob(pattern) if path.is_file())


@dataclass(frozen=True, slots=True)
class MissingWords:
    """A tokenizer that is not there: says so when it is used, and lets the rest of a checkpoint be used."""

    failure: Missing | UnusableFile

    @property
    def start(self) -> int | None:
        """Raises the failure."""
        raise self.failure

    @property
    def end(self) -> int:
        """Raises the failure."""
        raise self.failure

    def encode(self, text: str) -> list[int]:
        """Raises the failure."""
        raise self.failure


def words_or_missing(kind: str, folders: Sequence[Path], tensors: Tensors | None = None) -> Words:
    """As `find_words`, but what is missing is told on first use."""
    try:
        return find_words(kind, folders, tensors)
    except (Missing, UnusableFile) as error:
        return MissingWords(error)

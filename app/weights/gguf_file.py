"""GGUF files: weights in blocks of a few bits, each with scales of its own, as llama.cpp and its kin write them.

Blocks of the formats that we know stay as they are, for layers that keep them so; the others are multiplied out by the
gguf library when they are read.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.diffusion.models.block_formats import FORMATS, BlockFormat
from app.errors import UnusableFile
from app.weights.llama_names import MARK, sentencepiece_of, t5_names
from app.weights.mapped import MappedFile
from app.weights.stored import Stored, StoredBlocks, WeightsFile, held
from app.weights.vocabularies import EMBEDDED

PLAIN = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
# Blocks go along a tensor's last side; where a side is too short for them, files say here what the shape was.
SHAPE_KEY = "comfy.gguf.orig_shape."
MOST_SIDES = 5
WORDS_KEY = "tokenizer.ggml."


def open_gguf(path: Path) -> WeightsFile:
    """The tensors of a GGUF file, mapped into memory.

    Raises:
        UnusableFile: damaged, or with a kind of blocks that is not known.
    """
    import gguf  # only who has such files waits for it

    library: Any = gguf
    try:
        reader = library.GGUFReader(path)
        file = MappedFile(path)
        shapes = {
            key.removeprefix(SHAPE_KEY): tuple(int(side) for side in field.contents())
            for key, field in reader.fields.items()
            if key.startswith(SHAPE_KEY)
        }
        tensors = {str(each.name): _stored(library, file, each, shapes.get(str(each.name))) for each in reader.tensors}
        words = _vocabulary(reader.fields) if MARK in tensors else {}
        tensors = t5_names(tensors)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, OSError, struct.error) as error:
        raise UnusableFile(
            f"The file {path.name!r} is no GGUF file that can be read: {error}.",
            remedy="Copy or download it again, or use the model's safetensors file.",
        ) from error
    return WeightsFile(path.name, tensors | words, {})


def _vocabulary(fields: Mapping[str, Any]) -> dict[str, Stored]:
    """T5's vocabulary in the form in which other files of text encoders carry it, where the file has one."""
    names = ("tokens", "scores", "token_type")
    if not all(WORDS_KEY + name in fields for name in names):
        return {}
    pieces, scores, kinds = (fields[WORDS_KEY + name].contents() for name in names)
    characters = fields.get(f"{WORDS_KEY}precompiled_charsmap")
    model = sentencepiece_of(pieces, scores, kinds, bytes(characters.contents()) if characters else b"")
    return held({EMBEDDED: torch.frombuffer(bytearray(model), dtype=torch.uint8)})


def _stored(library: Any, file: MappedFile, tensor: Any, told: tuple[int, ...] | None) -> Stored:
    """One tensor; the format counts its sides from the last."""
    shape = told or tuple(int(side) for side in reversed(tensor.shape))
    count, begin, kind = math.prod(shape), int(tensor.data_offset), tensor.tensor_type
    if count != int(tensor.n_elements) or len(shape) > MOST_SIDES or min(shape, default=1) < 1:
        raise ValueError(f"the tensor {tensor.name!r} of {tensor.n_elements} numbers cannot be of shape {list(shape)}")
    if begin + int(tensor.n_bytes) > len(file.data):
        raise ValueError("it is cut short")
    if kind.name in PLAIN:
        dtype = PLAIN[kind.name]
        return Stored(
            shape,
            lambda: file.flat(begin, count, dtype).view(shape),
            lambda: file.forget(begin, int(tensor.n_bytes)),
            file=file,
        )
    if kind.name in FORMATS:
        return _in_blocks(FORMATS[kind.name], shape, file, begin)
    try:
        _, size = library.GGML_QUANT_SIZES[kind]
        library.quants.dequantize(tensor.data.reshape(-1)[:size], kind)  # one block, to see whether it can be done
    except NotImplementedError as error:
        raise ValueError(f"the tensor {tensor.name!r} is stored as {kind.name}, which is not known") from error

    def read() -> Tensor:
        file.check()
        return torch.as_tensor(library.quants.dequantize(tensor.data, kind)).reshape(shape)

    return Stored(shape, read, is_derived=True, file=file)


def _in_blocks(kind: BlockFormat, shape: tuple[int, ...], file: MappedFile, begin: int) -> Stored:
    count = math.prod(shape)

    def blocks() -> Tensor:
        return file.flat(begin, kind.bytes_of(count), torch.uint8).view(-1, kind.size)

    def read() -> Tensor:
        return kind.wide(blocks()).view(shape)

    return Stored(shape, read, is_derived=True, blocks=StoredBlocks(kind, blocks), file=file)

"""Textual inversion (Gal et al. 2022, arXiv:2208.01618): learnt vectors that stand in a prompt as words do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor

# What the file of that name holds, as it was read; None where there is none.
EmbeddingFiles = Callable[[str], Any]


def no_embeddings(name: str) -> None:
    """The lookup of an encoder that was given no files: there is no embedding of any name."""


def vectors_for(data: Any, tower: str) -> Tensor | None:
    """The vectors (n, C) in a file's content for the tower of that name; None where the file has no tensor at all.

    Known are the formats of the method's authors (string_to_param), lists of mappings, one entry per tower (clip_l,
    clip_g, t5xxl …), bundles (bundle_emb.*), and otherwise the first tensor.
    """
    if isinstance(data, list):
        found = [t for part in cast("list[Any]", data) for t in _tensors(part)]
        return torch.cat([_rows(t) for t in found]) if found else None
    if not isinstance(data, Mapping):
        return _rows(data) if isinstance(data, Tensor) else None
    entries = cast("Mapping[str, Any]", data)
    if "string_to_param" in entries:
        return next((_rows(t) for t in _tensors(entries["string_to_param"])), None)
    for key in (tower, f"clip_{tower}"):
        if isinstance(value := entries.get(key), Tensor):
            return _rows(value)
    endings = (".string_to_param.*", f".clip_{tower}", f".{tower}")
    for ending in endings:
        bundle = [v for k, v in entries.items() if k.startswith("bundle_emb.") and k.endswith(ending)]
        if bundle:
            return torch.cat([_rows(t) for t in bundle])
    return next((_rows(t) for t in _tensors(entries)), None)


def _tensors(part: Any) -> Iterator[Tensor]:
    values = cast("Mapping[str, Any]", part).values() if isinstance(part, Mapping) else [part]
    yield from (value for value in values if isinstance(value, Tensor))


def _rows(vectors: Tensor) -> Tensor:
    return vectors.reshape(-1, vectors.shape[-1]).detach()

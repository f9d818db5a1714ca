"""Textual inversion (Gal et al. 2022, arXiv:2208.01618): learnt vectors that stand in a prompt as words do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from app.errors import UnusableFile

# The tensors in the file of that name, by dotted path; None where there is no such file.
EmbeddingFiles = Callable[[str], Mapping[str, Tensor] | None]


def no_embeddings(name: str) -> None:
    """The lookup of an encoder that was given no files: there is no embedding of any name."""


def vectors_for(tensors: Mapping[str, Tensor], tower: str) -> Tensor | None:
    """The vectors (n, C) in a file for the tower of that name; None where the file has no tensor at all.

    Known are the format of the method's authors (string_to_param), lists of tables, one entry per tower (clip_l,
    clip_g, t5xxl …), bundles (bundle_emb.*), and otherwise the first tensor. Raises UnusableFile for vectors of several
    widths, or of none.
    """
    learnt = [value for name, value in tensors.items() if name.startswith("string_to_param.")]
    if learnt:
        return _rows(learnt[:1])
    if tensors and all(name.partition(".")[0].isdecimal() for name in tensors):
        return _rows(tensors.values())
    for key in (tower, f"clip_{tower}"):
        if key in tensors:
            return _rows([tensors[key]])
    for ending in (".string_to_param.*", f".clip_{tower}", f".{tower}"):
        bundle = [v for name, v in tensors.items() if name.startswith("bundle_emb.") and name.endswith(ending)]
        if bundle:
            return _rows(bundle)
    return _rows(list(tensors.values())[:1]) if tensors else None


def _rows(parts: Iterable[Tensor]) -> Tensor:
    tables = [part if part.ndim else part[None] for part in parts]
    widths = sorted({table.shape[-1] for table in tables})
    if len(widths) > 1 or 0 in widths:
        raise UnusableFile(
            f"An embedding in this prompt has vectors of the widths {', '.join(map(str, widths))}; wanted is one.",
            remedy="The file is damaged; use another copy, or take it out of the prompt.",
        )
    return torch.cat([table.reshape(-1, widths[0]) for table in tables])

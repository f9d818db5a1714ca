"""The towers that are not CLIP's, T5 and BERT, from the tensors of a file."""

from __future__ import annotations

import torch

from app.diffusion.models.bert import Bert, BertConfig
from app.diffusion.models.t5 import T5Config, T5Encoder
from app.errors import UnusableFile
from app.weights.blank import blank
from app.weights.fill import fill
from app.weights.stored import Shapes, Stored, Tensors, shapes_of

T5_MARK = "encoder.block.0.layer.0.SelfAttention.q.weight"
BERT_MARK = "attn_layers.layers.0.1.to_q.weight"
KEPT = (torch.float32, torch.float16, torch.bfloat16)


def t5_tower(tensors: Tensors, name: str, told: str = "") -> T5Encoder:
    """T5's encoder from tensors without a prefix. Weights stay as they are stored; float8 is read as bfloat16.

    Beside weights in blocks the others, of which there are few, are in float32.

    Raises:
        UnusableFile: a tower that is incomplete or damaged.
    """
    if "shared.weight" not in tensors and "encoder.embed_tokens.weight" in tensors:
        tensors = {**tensors, "shared.weight": tensors["encoder.embed_tokens.weight"]}
    with blank():
        tower = T5Encoder(_t5_config(shapes_of(tensors), name))
    fill(tower, tensors, name, dtype=_held(tensors[T5_MARK]), told=told, in_blocks=True)
    return tower


def _held(layer: Stored) -> torch.dtype:
    """The precision for an encoder whose layers are stored as that one is."""
    if layer.is_derived:
        return torch.float32 if layer.blocks else torch.bfloat16
    stored = layer.read().dtype
    return stored if stored in KEPT else torch.bfloat16


def _t5_config(shapes: Shapes, name: str) -> T5Config:
    try:
        buckets, heads = shapes["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
        dense = "encoder.block.0.layer.1.DenseReluDense."
        gated = f"{dense}wi_0.weight" in shapes
        return T5Config(
            vocabulary=shapes["shared.weight"][0],
            width=shapes["shared.weight"][1],
            inner=shapes[f"{dense}wi_0.weight" if gated else f"{dense}wi.weight"][0],
            layers=_count(shapes, "encoder.block."),
            heads=heads,
            head_width=shapes[T5_MARK][0] // heads,
            buckets=buckets,
            gated=gated,
        )
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise _incomplete("T5", name, error) from error


def bert_tower(tensors: Tensors, name: str, dtype: torch.dtype, told: str = "") -> Bert:
    """Latent diffusion's transformer from tensors without a prefix. Raises UnusableFile."""
    with blank():
        tower = Bert(bert_config(tensors, name))
    fill(tower, tensors, name, dtype=dtype, told=told)
    return tower


def bert_config(tensors: Tensors, name: str) -> BertConfig:
    """The shape of that transformer. Raises UnusableFile for one that is incomplete."""
    shapes = shapes_of(tensors)
    try:
        vocabulary, width = shapes["token_emb.weight"]
        layers = _count(shapes, "attn_layers.layers.") // 2
        return BertConfig(vocabulary, width, layers, shapes["pos_emb.emb.weight"][0])
    except (KeyError, ValueError) as error:
        raise _incomplete("BERT", name, error) from error


def _count(shapes: Shapes, prefix: str) -> int:
    places = [int(key[len(prefix) :].split(".")[0]) for key in shapes if key.startswith(prefix)]
    return max(places, default=-1) + 1


def _incomplete(tower: str, name: str, error: Exception) -> UnusableFile:
    return UnusableFile(
        f"The file {name!r} holds no whole {tower}: {error} is missing.", remedy="Use another copy of it."
    )

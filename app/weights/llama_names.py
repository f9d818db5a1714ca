"""T5's encoder under the names that llama.cpp gives it, which GGUF files of text encoders have; and its vocabulary.

The names are those of the gguf library's `tensor_mapping.py`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence

from app.weights.stored import Stored, Tensors

MARK = "enc.blk.0.attn_q.weight"
_TOP = {
    "token_embd.weight": "shared.weight",
    "enc.output_norm.weight": "encoder.final_layer_norm.weight",
}
_ATTENTION = "layer.0.SelfAttention."
_DENSE = "layer.1.DenseReluDense."
_IN_A_BLOCK = {
    "attn_norm": "layer.0.layer_norm",
    **{f"attn_{part}": f"{_ATTENTION}{part}" for part in "qkvo"},
    "attn_rel_b": f"{_ATTENTION}relative_attention_bias",
    "ffn_norm": "layer.1.layer_norm",
    "ffn_gate": f"{_DENSE}wi_0",
    "ffn_up": f"{_DENSE}wi_1",
    "ffn_down": f"{_DENSE}wo",
}
_BLOCK = re.compile(r"enc\.blk\.(\d+)\.(\w+)\.weight")


def t5_names(tensors: Tensors) -> dict[str, Stored]:
    """T5's tensors under their published names; any other table as it is."""
    if MARK not in tensors:
        return dict(tensors)
    in_a_block = dict(_IN_A_BLOCK)
    if "enc.blk.0.ffn_gate.weight" not in tensors:  # T5 1.0, whose layers are not gated
        in_a_block["ffn_up"] = f"{_DENSE}wi"
    return {_name(name, in_a_block): stored for name, stored in tensors.items()}


def _name(name: str, in_a_block: Mapping[str, str]) -> str:
    found = _BLOCK.fullmatch(name)
    if found is None or found[2] not in in_a_block:
        return _TOP.get(name, name)
    return f"encoder.block.{found[1]}.{in_a_block[found[2]]}.weight"


def sentencepiece_of(
    pieces: Sequence[str], scores: Sequence[float], kinds: Sequence[int], characters: bytes = b""
) -> bytes:
    """The SentencePiece model of a vocabulary whose parts lie apart; kinds of pieces have the same numbers in both.

    `characters` is the compiled replacement of characters. Raises ValueError, struct.error for parts that do not fit
    together.
    """
    entries = zip(pieces, scores, kinds, strict=True)
    table = b"".join(_field(1, _piece(text, score, kind)) for text, score, kind in entries)
    return table + (_field(3, _field(2, characters)) if characters else b"")


def _piece(text: str, score: float, kind: int) -> bytes:
    return _field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + b"\x18" + _number(kind)


def _field(number: int, value: bytes) -> bytes:
    """A field of a Protocol Buffers message that holds bytes."""
    return _number(number << 3 | 2) + _number(len(value)) + value


def _number(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])

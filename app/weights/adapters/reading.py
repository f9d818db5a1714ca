"""The changes in a file of an adapter, by the names that the file gives to the layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from app.diffusion.adapters.change import Change
from app.diffusion.adapters.decomposed import Decomposed
from app.diffusion.adapters.full import Difference, Replacement
from app.diffusion.adapters.generalised import Generalised
from app.diffusion.adapters.hadamard import Hadamard, Product
from app.diffusion.adapters.kronecker import Kronecker
from app.diffusion.adapters.low_rank import LowRank
from app.diffusion.adapters.orthogonal import BlockRotation, Butterfly
from app.diffusion.adapters.widened import Widened

# What a tensor is to its layer, told by the end of its name; where several fit, the longest.
_ENDINGS: Mapping[str, Sequence[str]] = {
    "up": (
        *(".lora_up.weight", "_lora.up.weight", ".lora_B.weight", ".lora.up.weight", ".lora_B"),
        ".lora_linear_layer.up.weight",
    ),
    "down": (
        *(".lora_down.weight", "_lora.down.weight", ".lora_A.weight", ".lora.down.weight", ".lora_A"),
        ".lora_linear_layer.down.weight",
    ),
    "mid": (".lora_mid.weight",),
    "alpha": (".alpha",),
    "magnitude": (".dora_scale", ".lora_magnitude_vector.weight", ".lora_magnitude_vector"),
    **{part: (f".{part}",) for part in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2")},
    **{part: (f".{part}",) for part in ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b")},
    "lokr_t2": (".lokr_t2",),
    **{part: (f".{part}.weight",) for part in ("a1", "a2", "b1", "b2")},
    "oft": (".oft_blocks", ".oft_diag"),
    "rescale": (".rescale",),
    "diff": (".diff", ".w_norm"),
    "diff_b": (".diff_b", ".b_norm", ".lora_B.bias"),
    "set": (".set_weight",),
    "reshape": (".reshape_weight",),
}
_BY_LENGTH = sorted(((end, part) for part, ends in _ENDINGS.items() for end in ends), key=lambda each: -len(each[0]))
# PEFT writes the adapter's own name, mostly "default", before the last word.
_NAMED = re.compile(r"\.(lora_A|lora_B|lora_magnitude_vector)\.(?!(?:weight|bias)$)[^.]+(\.weight)?$")
# Control LoRAs of Flux bring normalisations of heads as they are to be.
_SCALE = re.compile(r"(.+_norm)\.scale")
Parts = Mapping[str, Tensor]
# (layer, rank) → α, where the file's tensors do not tell it
AlphaOf = Callable[[str, int], float | None]


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes of weights and biases by the file's names of layers, the tensors that each is made of, and the rest."""

    weights: Mapping[str, Change]
    biases: Mapping[str, Change]
    tensors: Mapping[str, Sequence[str]]
    unknown: Sequence[str]

    @property
    def layers(self) -> frozenset[str]:
        """All layers that something is changed in."""
        return frozenset({*self.weights, *self.biases})


def _untold(layer: str, rank: int) -> float | None:
    return None


def changes_in(tensors: Mapping[str, Tensor], alpha_of: AlphaOf = _untold) -> Changes:
    """What the tensors of a file change; those that are no part of a known adapter are told apart.

    `alpha_of` tells α of low ranks whose tensors do not.
    """
    layers: dict[str, dict[str, Tensor]] = {}
    names: dict[str, list[str]] = {}
    unknown: list[str] = []
    for name, tensor in tensors.items():
        layer, part = _taken_apart(name)
        if part:
            layers.setdefault(layer, {})[part] = tensor
            names.setdefault(layer, []).append(name)
        else:
            unknown.append(name)
    found = ((layer, change_of(parts)) for layer, parts in layers.items())
    weights = {layer: _scaled(layer, change, alpha_of) for layer, change in found if change is not None}
    biases: dict[str, Change] = {
        layer: Difference(parts["diff_b"]) for layer, parts in layers.items() if "diff_b" in parts
    }
    lost = [name for layer in layers if layer not in weights and layer not in biases for name in names[layer]]
    return Changes(weights, biases, names, [*unknown, *lost])


def _taken_apart(name: str) -> tuple[str, str]:
    """(layer, what the tensor is to it); the second is empty for a name that no adapter has."""
    if scale := _SCALE.fullmatch(name):
        return scale[1], "set"
    name = _NAMED.sub(lambda found: f".{found[1]}.weight", name)
    return next(((name.removesuffix(end), part) for end, part in _BY_LENGTH if name.endswith(end)), (name, ""))


def _scaled(layer: str, change: Change, alpha_of: AlphaOf) -> Change:
    """The change with the α that is told beside the tensors, if it is of low rank and has none."""
    if isinstance(change, Decomposed | Widened):
        return replace(change, change=_scaled(layer, change.change, alpha_of))
    if isinstance(change, LowRank) and change.alpha is None:
        return replace(change, alpha=alpha_of(layer, change.rank))
    return change


def change_of(parts: Parts) -> Change | None:
    """What one layer's tensors change its weight by; None where they are incomplete, or change the bias alone."""
    alpha = float(parts["alpha"].float()) if "alpha" in parts and parts["alpha"].numel() == 1 else None
    for read in _READERS:
        change = next(read(parts, alpha), None)
        if change is not None:
            magnitude = parts.get("magnitude")
            if magnitude is not None and isinstance(change, LowRank | Hadamard | Kronecker | Generalised | Difference):
                change = Decomposed(change, magnitude)
            return Widened(change, tuple(map(int, parts["reshape"]))) if "reshape" in parts else change
    return None


def _low_rank(parts: Parts, alpha: float | None) -> Iterator[Change]:
    if "up" in parts and "down" in parts:
        yield LowRank(parts["up"], parts["down"], alpha, parts.get("mid"))


def _hadamard(parts: Parts, alpha: float | None) -> Iterator[Change]:
    if all(f"hada_w{number}_{side}" in parts for number in (1, 2) for side in "ab"):
        first, second = (
            Product(parts[f"hada_w{number}_a"], parts[f"hada_w{number}_b"], parts.get(f"hada_t{number}"))
            for number in (1, 2)
        )
        yield Hadamard(first, second, alpha)


def _kronecker(parts: Parts, alpha: float | None) -> Iterator[Change]:
    factors: list[Tensor | Product] = []
    for factor in ("lokr_w1", "lokr_w2"):
        if factor in parts:
            factors.append(parts[factor])
        elif f"{factor}_a" in parts and f"{factor}_b" in parts:
            core = parts.get("lokr_t2") if factor == "lokr_w2" else None
            factors.append(Product(parts[f"{factor}_a"], parts[f"{factor}_b"], core))
    if len(factors) == 2:
        yield Kronecker(factors[0], factors[1], alpha)


def _generalised(parts: Parts, alpha: float | None) -> Iterator[Change]:
    if all(part in parts for part in ("a1", "a2", "b1", "b2")):
        yield Generalised.of(parts["a1"], parts["a2"], parts["b1"], parts["b2"], alpha)


def _rotated(parts: Parts, alpha: float | None) -> Iterator[Change]:
    """Here α, times the number of outputs, is the largest norm of what rotations are made of; 0 or none for any."""
    blocks = parts.get("oft")
    if blocks is not None and blocks.ndim in (3, 4):
        kind = BlockRotation if blocks.ndim == 3 else Butterfly
        yield kind(blocks, alpha or 0.0, parts.get("rescale"))


def _full(parts: Parts, alpha: float | None) -> Iterator[Change]:
    if "diff" in parts:
        yield Difference(parts["diff"])
    if "set" in parts:
        yield Replacement(parts["set"])


_READERS: Sequence[Callable[[Parts, float | None], Iterator[Change]]] = (
    _low_rank,
    _hadamard,
    _kronecker,
    _generalised,
    _rotated,
    _full,
)

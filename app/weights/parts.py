"""A checkpoint taken apart: the network, the first stage, the text towers, and what else lies beside them."""

from __future__ import annotations

from dataclasses import dataclass

from app.errors import InvalidRequest, UnusableFile
from app.weights.stored import Stored, Tensors, below

NETWORK_PREFIXES = ("model.diffusion_model.", "model.model.", "net.", "diffusion_model.", "model.")
FIRST_STAGE_PREFIXES = ("first_stage_model.", "vae.")
# A network without a prefix is told by one of these.
BARE_NETWORKS = (
    "input_blocks.0.0.weight",
    "joint_blocks.0.context_block.attn.qkv.weight",
    "double_blocks.0.img_attn.qkv.weight",
)
EMA = "model_ema."
# The last words of names of what is no weight, which is not averaged.
BUFFERS = ("pos_embed", "position_ids", "running_mean", "running_var", "num_batches_tracked")
FEWEST = 5  # a prefix with fewer tensors than this is an accident


@dataclass(frozen=True, slots=True)
class Parts:
    """Tables without their prefixes, and the prefixes for messages; what is not there is empty."""

    network: Tensors
    network_prefix: str
    first_stage: Tensors
    first_stage_prefix: str
    rest: Tensors


def parts_of(tensors: Tensors, *, ema: bool = False, name: str = "") -> Parts:
    """The parts of the file `name`; with `ema` the network's averaged weights, where training has left them.

    Raises:
        InvalidRequest: averaged weights are asked for, and there are none.
        UnusableFile: they are asked for, and some are missing.
    """
    prefix = network_prefix(tensors)
    network = below(prefix, tensors) if prefix is not None else {}
    averaged = below(EMA, tensors) if ema else {}
    if ema and (network or not averaged):
        network = with_averages(network, averaged, name, prefix or "")
    stages = [stage for stage in FIRST_STAGE_PREFIXES if any(key.startswith(stage) for key in tensors)]
    first_stage = below(stages[0], tensors) if stages else {}
    taken = tuple(start for start in (prefix, *stages, EMA) if start)
    rest = {key: value for key, value in tensors.items() if not key.startswith(taken)} if prefix != "" else {}
    return Parts(network, prefix or "", first_stage, stages[0] if stages else FIRST_STAGE_PREFIXES[0], rest)


def network_prefix(tensors: Tensors) -> str | None:
    """What stands before the names of the network, "" for nothing, None where there is no network."""
    if any(name in tensors for name in BARE_NETWORKS):
        return ""
    counts = {prefix: sum(key.startswith(prefix) for key in tensors) for prefix in NETWORK_PREFIXES}
    first = max(NETWORK_PREFIXES, key=lambda prefix: counts[prefix] if prefix != "model." else 0)
    if counts[first] > FEWEST:
        return first
    return "model." if any(f"model.{name}" in tensors for name in BARE_NETWORKS) else None


def with_averages(network: Tensors, averaged: Tensors, name: str, told: str) -> dict[str, Stored]:
    """The network with its averaged weights: their names have lost the dots (LitEma of latent diffusion).

    `told` stands before the network's names in the file. Raises InvalidRequest, UnusableFile as `parts_of` does.
    """
    names = {key: "diffusion_model" + key.replace(".", "") for key in network}
    found = {key: averaged[names[key]] for key in network if names[key] in averaged}
    if not found:
        raise InvalidRequest(
            f"The file {name!r} holds no averaged (EMA) weights.", remedy="Load it without asking for them."
        )
    missing = [key for key in network if key not in found and key.rpartition(".")[2] not in BUFFERS]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UnusableFile(
            f"The file {name!r} lacks the averaged (EMA) weights {EMA + names[missing[0]]!r} of the tensor "
            f"{told + missing[0]!r}{others}.",
            remedy="Load it without asking for averaged weights, or use another copy.",
        )
    return {**network, **found}

"""`comfy.lora`: changes of weights in files, their names, and what a changed weight is."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from app.errors import InvalidRequest

log = logging.getLogger(__name__)

_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
# How files call the two factors: (up, down).
_FACTORS = (
    (".lora_up.weight", ".lora_down.weight"),
    (".lora_B.weight", ".lora_A.weight"),
    ("_lora.up.weight", "_lora.down.weight"),
    (".lora_B.default.weight", ".lora_A.default.weight"),
)


@dataclass(frozen=True, slots=True)
class LowRank:
    """A change of low rank: up · down · alpha / rank (arXiv:2106.09685), for convolutions perhaps with a middle."""

    up: Tensor
    down: Tensor
    alpha: float | None = None
    mid: Tensor | None = None

    def delta(self, weight: Tensor) -> Tensor:
        """The change of a weight, in its shape."""
        up, down = (part.to(weight.device, torch.float32) for part in (self.up, self.down))
        if self.mid is not None:
            mid = self.mid.to(weight.device, torch.float32)
            down = torch.einsum("m n k l, n i -> m i k l", mid, down.flatten(1))
        scale = 1.0 if self.alpha is None else self.alpha / self.down.shape[0]
        return (up.flatten(1) @ down.flatten(1)).reshape(weight.shape) * scale


def calculate_weight(
    patches: Sequence[Any], weight: Tensor, key: str, intermediate_dtype: Any = torch.float32
) -> Tensor:
    """The weight after all its changes, in its own type.

    Raises:
        InvalidRequest: a change of a kind or shape that does not fit; names the weight.
    """
    result = weight.to(intermediate_dtype)
    for strength, value, strength_model, offset, function in patches:
        whole, part = result, result
        if offset is not None:
            part = result.narrow(*offset)
        if strength_model != 1.0:
            part = part * strength_model
        try:
            delta, sets = _delta(value, part, key)
        except RuntimeError as error:
            raise InvalidRequest(
                f"A change of {key} does not fit its shape {list(weight.shape)}: {error}",
                remedy="The file was made for another model; choose one for this model's family.",
            ) from error
        delta = delta if function is None else function(delta)
        part = delta if sets else part + strength * delta
        if offset is None:
            result = part
        else:
            result = whole.clone()
            result.narrow(*offset).copy_(part)
    return result.to(weight.dtype)


def _delta(value: Any, weight: Tensor, key: str) -> tuple[Tensor, bool]:
    """(change, whether it is the new weight itself)."""
    if isinstance(value, LowRank):
        return value.delta(weight), False
    if hasattr(value, "calculate_weight"):  # an adapter of a pack's own
        return value.calculate_weight(weight, key, 1.0, 1.0, None, _as_it_is) - weight, False
    parts: Sequence[Any] = value
    if isinstance(parts[0], Tensor):
        return _fitting(parts[0], weight), False
    kind, said = parts[0], parts[1]
    if kind == "set":
        return _fitting(said[0], weight), True
    if kind == "diff":
        return _fitting(said[0], weight), False
    if kind == "model_as_lora":
        return _fitting(said[0], weight) - weight, False
    if kind == "lora":
        return LowRank(said[0], said[1], said[2], said[3] if len(said) > 3 else None).delta(weight), False
    raise InvalidRequest(f"The change of {key} is of an unknown kind {str(kind)[:40]!r}.", remedy="Update the pack.")


def _as_it_is(weight: Tensor) -> Tensor:
    return weight


def _fitting(value: Tensor, weight: Tensor) -> Tensor:
    return value.to(weight.device, weight.dtype).reshape(weight.shape)


def load_lora(lora: Mapping[str, Tensor], to_load: Mapping[str, Any], log_missing: bool = True) -> dict[Any, Any]:
    """The changes in a file for the weights of `to_load` (name in the file → name of the weight)."""
    found: dict[Any, Any] = {}
    used: set[str] = set()
    for name, key in to_load.items():
        change = _change(lora, name, used)
        if change is not None:
            found[key] = change
    unknown = [name for name in lora if name not in used]
    if unknown and log_missing:
        log.warning("%d of %d entries of the file fit nothing here, such as %s", len(unknown), len(lora), unknown[0])
    return found


def _change(lora: Mapping[str, Tensor], name: str, used: set[str]) -> Any:
    alpha = lora.get(f"{name}.alpha")
    for up, down in _FACTORS:
        if name + up in lora and name + down in lora:
            mid = lora.get(f"{name}.lora_mid.weight")
            used.update((name + up, name + down, f"{name}.alpha", f"{name}.lora_mid.weight"))
            return LowRank(lora[name + up], lora[name + down], None if alpha is None else float(alpha), mid)
    for end, kind in ((".diff", "diff"), (".set_weight", "set")):
        if name + end in lora:
            used.add(name + end)
            return kind, (lora[name + end],)
    return None


def model_lora_keys_unet(model: Any, key_map: dict[str, Any] | None = None) -> dict[str, Any]:
    """Names in files → weights, for the network of a model."""
    names = {} if key_map is None else key_map
    weights = [key for key in model.state_dict() if key.startswith("diffusion_model.") and key.endswith(".weight")]
    blocks = int(getattr(getattr(model.diffusion_model, "config", None), "num_res_blocks", 2))
    for key in weights:
        inner = key.removeprefix("diffusion_model.").removesuffix(".weight")
        names["lora_unet_" + inner.replace(".", "_")] = key
        names[key.removesuffix(".weight")] = key
        names[inner] = key
        for other in _diffusers(inner, blocks):
            names["lora_unet_" + other.replace(".", "_")] = key
            names["unet." + other] = key
            names["lycoris_" + other.replace(".", "_")] = key
    return names


def model_lora_keys_clip(model: Any, key_map: dict[str, Any] | None = None) -> dict[str, Any]:
    """Names in files → weights, for the towers of a text encoder."""
    names = {} if key_map is None else key_map
    weights = [key for key in model.state_dict() if key.endswith(".weight")]
    towers = list(dict.fromkeys(key.partition("text_model.")[0] for key in weights if "text_model." in key))
    for key in weights:
        before, _, inner = key.partition("text_model.")
        if not inner:
            continue
        tower = towers.index(before)
        path = "text_model." + inner.removesuffix(".weight")
        starts = ["lora_te1_", "lora_te_"] if tower == 0 else ["lora_te2_"]
        for start in starts:
            names[start + path.replace(".", "_")] = key
        names[("text_encoder." if tower == 0 else "text_encoder_2.") + path] = key
        names["text_encoders." + key.removesuffix(".weight")] = key
    return names


def _diffusers(inner: str, blocks: int) -> Iterator[str]:
    """What diffusers calls a part of the U-Net; `blocks` residual blocks per level on the way down."""
    parts = inner.split(".")
    if parts[0] in ("time_embed", "label_emb", "out"):
        return
    if parts[0] == "middle_block" and len(parts) > 2:
        index, rest = int(parts[1]), ".".join(parts[2:])
        yield (
            f"mid_block.attentions.0.{rest}"
            if index == 1
            else f"mid_block.resnets.{index // 2}.{_RESNET.get(rest, rest)}"
        )
        return
    if len(parts) < 4 or parts[0] not in ("input_blocks", "output_blocks"):
        return
    index, layer, rest = int(parts[1]), int(parts[2]), ".".join(parts[3:])
    down = parts[0] == "input_blocks"
    level, place = divmod(index - 1, blocks + 1) if down else divmod(index, blocks + 1)
    side = f"{'down' if down else 'up'}_blocks.{level}"
    if rest == "op" or rest == "conv":
        yield f"{side}.{'downsamplers' if down else 'upsamplers'}.0.conv"
    elif layer == 0:
        yield f"{side}.resnets.{place}.{_RESNET.get(rest, rest)}"
    else:
        yield f"{side}.attentions.{place}.{rest}"

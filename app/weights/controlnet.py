"""ControlNets and their like from files: those of U-Nets in each layout, unions, Control-LoRAs and T2I-Adapters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from app.diffusion.control import ControlModel
from app.diffusion.model import DiffusionModel
from app.diffusion.models.controlnet import ControlNet, ControlNetConfig
from app.diffusion.models.controlnet_adapter import T2IAdapter, T2IAdapterConfig
from app.diffusion.models.controlnet_lora import ControlLora
from app.diffusion.models.unet import UNet
from app.errors import InvalidRequest, UnusableFile
from app.weights.blank import blank
from app.weights.controlnet_transformers import ControlFile, transformer_control
from app.weights.diffusers_names import unet_names
from app.weights.fill import fill
from app.weights.folder import WEIGHTS, part_of
from app.weights.kinds import refused
from app.weights.opening import open_weights
from app.weights.shapes import control_unet_of
from app.weights.stored import Shapes, Stored, Tensors, WeightsFile, below, shapes_of

PREFIX = "control_model."
DIFFUSERS, ORIGINAL = "controlnet_cond_embedding.conv_in.weight", "zero_convs.0.0.weight"
LORA, DIFFERENCE = "lora_controlnet", "difference"
LOOKED_FOR = f"{ORIGINAL!r}, {DIFFUSERS!r}, 'body.0.block1.weight' and those of Stable Diffusion 3's and Flux's"
PIECE = re.compile(r"-\d+-of-\d+\.")  # in the names of files that diffusers has cut a network in
HEADS, HEAD_WIDTH = 8, 64  # of Stable Diffusion 1, which projects by convolutions; of all later ones
# The end of names of files whose residuals are the same all over the picture, as the release of ControlNet 1.1 has it.
POOLED = ("_shuffle", "_shuffle_fp16")


def load_control(path: Path, dtype: torch.dtype = torch.float32, base: DiffusionModel | None = None) -> ControlModel:
    """The network in a file. `base` is the model to which a file of differences is added.

    Raises:
        Missing, UnusableFile: no file, a damaged or incomplete one.
        UnknownFamily: a file that holds nothing of the kind.
        InvalidRequest: a file of differences without a model, or with one of another family.
    """
    # Whatever its kind, diffusers calls a network's file the same: it is the folder's name that tells.
    stem = path.parent.name if path.name.startswith(WEIGHTS[0]) else path.stem
    return control_of(_opened(path), dtype, base, stem=stem)


def _opened(path: Path) -> WeightsFile:
    """A file, with the others of the network where it was cut in several."""
    file = open_weights(path)
    return replace(file, tensors=part_of(path.parent)) if PIECE.search(path.name) else file


def control_of(
    file: WeightsFile, dtype: torch.dtype = torch.float32, base: DiffusionModel | None = None, *, stem: str = ""
) -> ControlModel:
    """As `load_control`, from an open file; `stem` is its name without the ending, or its folder's."""
    tensors: Tensors = below(PREFIX, file.tensors) or file.tensors
    pooled = stem.endswith(POOLED)
    if LORA in tensors:
        return ControlModel(_control_lora(tensors, file.name), file.name, pooled)
    if transformer := transformer_control(ControlFile(tensors, file.name, stem, dtype)):
        return ControlModel(transformer, file.name)
    if DIFFUSERS in tensors:
        tensors = control_names(tensors)
    if ORIGINAL in tensors:
        if DIFFERENCE in file.tensors:
            tensors = _added(tensors, file.name, base)
        return ControlModel(_control_net(tensors, file.name, dtype), file.name, pooled)
    adapter = adapter_names(tensors)
    config = adapter_of(shapes_of(adapter))
    if config is None:
        raise refused(file.tensors, file.name, "a ControlNet or a T2I-Adapter", LOOKED_FOR)
    with blank():
        network = T2IAdapter(config)
    fill(network, adapter, file.name, dtype=dtype)
    return ControlModel(network, file.name)


def _control_net(tensors: Tensors, name: str, dtype: torch.dtype) -> ControlNet:
    shapes = shapes_of(tensors)
    unet = control_unet_of(shapes)
    if unet is None:
        raise UnusableFile(f"The file {name!r} holds no whole ControlNet.", remedy="Use another copy of it.")
    heads = {"heads": None, "head_width": HEAD_WIDTH} if unet.linear_projection else {"heads": HEADS}
    hints = sorted(int(key.split(".")[1]) for key in shapes if key.startswith("input_hint_block.") and "weight" in key)
    config = ControlNetConfig(
        replace(unet, **heads),
        hint_channels=shapes["input_hint_block.0.weight"][1],
        hint_widths=tuple(shapes[f"input_hint_block.{index}.weight"][1] for index in hints[1::2]),
        tasks=shapes.get("task_embedding", (0,))[0],
        fusion_layers=len({key.split(".")[1] for key in shapes if key.startswith("transformer_layes.")}) or 1,
    )
    with blank():
        network = ControlNet(config)
    fill(network, tensors, name, dtype=dtype, told=PREFIX)
    return network


def _control_lora(tensors: Tensors, name: str) -> ControlLora:
    values: dict[str, Tensor] = {key: stored.read() for key, stored in tensors.items() if key != LORA}
    if "input_hint_block.0.weight" not in values:
        raise UnusableFile(
            f"The Control-LoRA {name!r} lacks the tensor 'input_hint_block.0.weight'.", remedy="Use another copy of it."
        )
    return ControlLora(values)


def _added(tensors: Tensors, name: str, base: DiffusionModel | None) -> Tensors:
    """Differences to the model's own weights, added to those."""
    if base is None or not isinstance(base.network, UNet):
        raise InvalidRequest(
            f"The ControlNet {name!r} holds differences to a model's own weights.",
            remedy="Load it with Load ControlNet Model (diff), and link a Stable Diffusion model there.",
        )
    own: Mapping[str, Tensor] = base.network.state_dict()

    def whole(key: str, stored: Stored) -> Stored:
        if key not in own:
            return stored
        if tuple(own[key].shape) != stored.shape:
            raise InvalidRequest(
                f"The ControlNet {name!r} holds differences to a model of another family than {base.family}.",
                remedy="Link a model of the family that it was made for.",
            )
        return Stored(stored.shape, lambda: stored.read().float() + own[key].float().cpu())

    return {key: whole(key, stored) for key, stored in tensors.items()}


def control_names(tensors: Tensors) -> dict[str, Stored]:
    """diffusers' names of a ControlNet, or of a union, as the original ones."""
    attends = any(name.startswith("mid_block.attentions.") for name in tensors)
    return {_control_name(name, attends): stored for name, stored in unet_names(tensors).items()}


def _control_name(name: str, attends: bool) -> str:
    if name.startswith("controlnet_down_blocks."):
        _, index, kind = name.split(".")
        return f"zero_convs.{index}.0.{kind}"
    if name.startswith("controlnet_mid_block."):
        return f"middle_block_out.0.{name.rpartition('.')[2]}"
    if name.startswith("controlnet_cond_embedding."):
        _, *place, kind = name.split(".")
        # Each layer is followed by an activation; the last has the number that its place gives it.
        number = 0 if place == ["conv_in"] else 14 if place == ["conv_out"] else 2 * (int(place[1]) + 1)
        return f"input_hint_block.{number}.{kind}"
    if not attends and name.startswith("middle_block.2."):
        return name.replace("middle_block.2.", "middle_block.1.", 1)
    return name


def adapter_names(tensors: Tensors) -> dict[str, Stored]:
    """A T2I-Adapter's names as the original ones, from those of diffusers."""
    own = below("adapter.", tensors) or tensors
    if not any(".resnets." in name for name in own):
        return dict(own)
    light = any(name.endswith("out_conv.weight") for name in own)
    return {_adapter_name(name, light): stored for name, stored in own.items()}


def _adapter_name(name: str, light: bool) -> str:
    if light or not name.startswith("body."):
        return name.replace(".resnets.", ".body.")
    _, level, *rest = name.split(".")
    block, rest = (int(rest[1]), rest[2:]) if rest[0] == "resnets" else (0, rest)
    return ".".join(["body", str(2 * int(level) + block), *rest])


def adapter_of(shapes: Shapes) -> T2IAdapterConfig | None:
    """The configuration of the T2I-Adapter with these tensors (original names); None if it is none."""
    try:
        if "body.0.out_conv.weight" in shapes:
            return _light_adapter(shapes)
        first, pixels = shapes["conv_in.weight"][:2]
        count = 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("body."))
        widths = tuple(shapes[f"body.{index}.block1.weight"][0] for index in range(0, count, 2))
        xl = pixels in (256, 768)
        return T2IAdapterConfig(
            pixels // (256 if xl else 64),
            (first, *widths[1:]),
            xl=xl,
            kernel=shapes["body.0.block2.weight"][2],
            convolves=any(name.endswith("down_opt.op.weight") for name in shapes),
        )
    except (KeyError, IndexError, ValueError):
        return None


def _light_adapter(shapes: Shapes) -> T2IAdapterConfig:
    levels = range(1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("body.")))
    blocks = 1 + max(int(name.split(".")[3]) for name in shapes if name.startswith("body.0.body."))
    return T2IAdapterConfig(
        shapes["body.0.in_conv.weight"][1] // 64,
        tuple(shapes[f"body.{level}.out_conv.weight"][0] for level in levels),
        blocks,
        inner=tuple(shapes[f"body.{level}.in_conv.weight"][0] for level in levels),
    )

"""Upscalers from files: ESRGAN in its three layouts, and Real-ESRGAN's compact network."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from app.diffusion.models.upscaler import Compact, CompactConfig, Esrgan, EsrganConfig
from app.diffusion.upscaling import Upscaler
from app.errors import UnknownFamily
from app.weights.blank import blank
from app.weights.fill import fill
from app.weights.kinds import kind_of, refused
from app.weights.opening import open_weights
from app.weights.stored import Shapes, Stored, Tensors, WeightsFile, below, shapes_of

LOOKED_FOR = "'conv_first.weight', 'model.0.weight' and 'body.0.weight'"
_DENSE = re.compile(r"(?:model\.1\.sub|RRDB_trunk)\.(\d+)\.RDB(\d)\.conv(\d)(?:\.0)?\.(weight|bias)")
_PLAIN = {"trunk_conv": "conv_body", "upconv1": "conv_up1", "upconv2": "conv_up2", "HRconv": "conv_hr"}


def load_upscaler(path: Path, dtype: torch.dtype = torch.float32) -> Upscaler:
    """The network in a file.

    Raises:
        Missing, UnusableFile: no file, a damaged or incomplete one.
        UnknownFamily: a file that holds no upscaler, or one of another architecture.
    """
    return upscaler_of(open_weights(path), dtype)


def upscaler_of(file: WeightsFile, dtype: torch.dtype = torch.float32) -> Upscaler:
    """As `load_upscaler`, from an open file."""
    tensors: Tensors = below("params_ema.", file.tensors) or below("params.", file.tensors) or file.tensors
    tensors = esrgan_names(tensors)
    shapes = shapes_of(tensors)
    config = esrgan_of(shapes) or compact_of(shapes)
    if config is None:
        kind = kind_of(file.tensors)
        if kind is not None and "upscaler" not in kind.what:
            raise refused(file.tensors, file.name, "an upscaler", LOOKED_FOR)
        raise UnknownFamily(
            f"The file {file.name!r} is not an upscaler that is known: {LOOKED_FOR} were looked for.",
            remedy="Use an upscaler of the ESRGAN or Real-ESRGAN kind, such as RealESRGAN_x4plus.",
        )
    with blank():
        network = Esrgan(config) if isinstance(config, EsrganConfig) else Compact(config)
    fill(network, tensors, file.name, dtype=dtype)
    return Upscaler(network, file.name)


def esrgan_names(tensors: Tensors) -> dict[str, Stored]:
    """The names of ESRGAN's older releases as those of Real-ESRGAN."""
    outer = sorted({int(found[1]) for name in tensors if (found := re.fullmatch(r"model\.(\d+)\.weight", name))})
    return {_name(name, outer): stored for name, stored in tensors.items()}


def _name(name: str, outer: list[int]) -> str:
    if found := _DENSE.fullmatch(name):
        return f"body.{found[1]}.rdb{found[2]}.conv{found[3]}.{found[4]}"
    if found := re.fullmatch(r"model\.1\.sub\.\d+\.(weight|bias)", name):
        return f"conv_body.{found[1]}"
    if found := re.fullmatch(r"model\.(\d+)\.(weight|bias)", name):
        place = outer.index(int(found[1])) if int(found[1]) in outer else -1
        ends = {0: "conv_first", len(outer) - 2: "conv_hr", len(outer) - 1: "conv_last"}
        return f"{ends.get(place, f'conv_up{place}')}.{found[2]}"
    layer, _, kind = name.rpartition(".")
    return f"{_PLAIN.get(layer, layer)}.{kind}"


def esrgan_of(shapes: Shapes) -> EsrganConfig | None:
    """The configuration of the ESRGAN with these tensors; None if it is none."""
    try:
        width, folded = shapes["conv_first.weight"][:2]
        growth = shapes["body.0.rdb1.conv1.weight"][0]
    except KeyError:
        return None
    blocks = len({name.split(".")[1] for name in shapes if name.startswith("body.")})
    doublings = sum(name.startswith("conv_up") and name.endswith(".weight") for name in shapes)
    return EsrganConfig(width, blocks, growth, doublings, round((folded / 3) ** 0.5))


def compact_of(shapes: Shapes) -> CompactConfig | None:
    """The configuration of the compact network with these tensors; None if it is none."""
    indices = [int(found[1]) for name in shapes if (found := re.fullmatch(r"body\.(\d+)\.weight", name))]
    if not indices or len(shapes["body.0.weight"]) != 4 or len(shapes.get("body.1.weight", ())) != 1:
        return None
    last = max(indices)
    scale = round((shapes[f"body.{last}.weight"][0] / 3) ** 0.5)
    return CompactConfig(shapes["body.0.weight"][0], (last - 2) // 2, scale)

"""What files of adapters call the layers of SD 3 and Flux: the published names, and diffusers' parts of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from app.diffusion.adapters.change import Place
from app.weights.diffusers_transformers import BLOCKS, ONCE

# Diffusers has the scale before the shift in the last normalisation, and in that of SD 3's last context.
LAST_NORM, LAST_CONTEXT = "final_layer.adaLN_modulation.1", "context_block.adaLN_modulation.1"


def transformer_places(kind: str, layer: str, parameter: Place, shape: Sequence[int]) -> Iterator[tuple[str, Place]]:
    """Names of a layer and of the parts that diffusers has split it into, each with its place.

    `kind` is "sd3" or "flux"; `parameter` is the layer's weight or bias of that shape.
    """
    underscored = layer.replace(".", "_")
    for name in (
        layer,
        f"diffusion_model.{layer}",
        f"model.diffusion_model.{layer}",
        f"transformer.{layer}",
        f"base_model.model.{layer}",
        f"base_model.model.diffusion_model.{layer}",
        f"lora_unet_{underscored}",
        f"lycoris_{underscored}",
    ):
        yield name, parameter
    for theirs, place in _parts(kind, layer, parameter, shape):
        underscored = theirs.replace(".", "_")
        for name in (
            theirs,
            f"transformer.{theirs}",
            f"base_model.model.{theirs}",
            f"transformer.base_model.model.{theirs}",
            f"diffusion_model.{theirs}",
            f"lora_transformer_{underscored}",
            f"lora_unet_{underscored}",
            f"lycoris_{underscored}",
        ):
            yield name, place


def _parts(kind: str, layer: str, parameter: Place, shape: Sequence[int]) -> Iterator[tuple[str, Place]]:
    if layer in ONCE[kind]:
        yield ONCE[kind][layer], parameter
    if layer == LAST_NORM:
        yield "norm_out.linear", Place(parameter.name, halves_swapped=True)
    for blocks in BLOCKS[kind]:
        found = re.fullmatch(rf"{blocks.ours}\.(\d+)\.(.+)", layer)
        if found and found[2] in blocks.layers:
            parts = blocks.layers[found[2]]
            if found[2] == LAST_CONTEXT and shape[0] == 2 * shape[-1]:  # the others have six parts
                yield f"{blocks.theirs}.{found[1]}.{parts[0]}", Place(parameter.name, halves_swapped=True)
                return
            for part, rows in zip(parts, _rows(len(parts), shape[0]), strict=True):
                place = parameter if rows is None else Place(parameter.name, rows)
                yield f"{blocks.theirs}.{found[1]}.{part}", place


def _rows(parts: int, rows: int) -> list[tuple[int, int] | None]:
    """Where the parts lie: queries, keys and values are equally large, what follows them (Flux) is the rest."""
    if parts == 1:
        return [None]
    if parts == 3:
        each = rows // 3
        return [(index * each, each) for index in range(3)]
    each = rows // 7  # of a single block of Flux: three times the width, and a layer of four times the width
    return [*((index * each, each) for index in range(3)), (3 * each, rows - 3 * each)]

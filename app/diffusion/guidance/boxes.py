"""Texts that are to be drawn in boxes, by GLIGEN's layers.

N boxes, D width of a text
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from app.diffusion.adapters.twin import independent
from app.diffusion.guidance.conditions import Adjust
from app.diffusion.model import DiffusionModel
from app.diffusion.models.gligen import MOST_BOXES, GatedAttention, Gligen
from app.diffusion.models.hooks import Looking, NetworkHooks, Place
from app.errors import InvalidRequest

OPTION = "gligen"  # among a conditioning's options: ("position", Gligen, [(text (1, D), height, width, y, x), …])
_BLOCK = re.compile(r"(input|output)_blocks\.(\d+)\.\d+\.transformer_blocks\.(\d+)")
_MIDDLE = re.compile(r"middle_block\.\d+\.transformer_blocks\.(\d+)")
Boxes = tuple[str, Gligen, Sequence[tuple[Tensor, int, int, int, int]]]


@dataclass(frozen=True, slots=True, eq=False)
class _InBoxes:
    """An `Adjust` that lets the network look at boxes, after another one."""

    hooks: NetworkHooks
    before: Adjust | None

    def __call__(self, x: Tensor, sigma: Tensor, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        extra: Mapping[str, Any] = {} if self.before is None else self.before(x, sigma, arguments)
        return {**extra, "hooks": extra["hooks"] | self.hooks if "hooks" in extra else self.hooks}


def with_boxes(model: DiffusionModel, entries: Sequence[Sequence[Any]], like: Tensor) -> list[Sequence[Any]]:
    """Conditioning with texts in boxes, ready for a run on latents shaped as `like` (B, C, h, w)."""
    return [
        [features, {**said, "adjust": _InBoxes(looking_at(model, said[OPTION], like), said.get("adjust"))}]
        if said.get(OPTION)
        else entry
        for entry in entries
        for features, said in [entry]
    ]


@torch.no_grad()
def looking_at(model: DiffusionModel, boxes: Boxes, like: Tensor) -> NetworkHooks:
    """Hooks by which a network looks at the boxes.

    Raises:
        InvalidRequest: more boxes than GLIGEN knows; a network of another width.
    """
    _, gligen, given = boxes
    if len(given) > MOST_BOXES:
        raise InvalidRequest(f"There are {len(given)} boxes; GLIGEN takes {MOST_BOXES}.", remedy="Remove some of them.")
    placed_here = independent(gligen).to(like.device, model.dtype)
    height, width = like.shape[-2:]
    places = [[x / width, y / height, (x + w) / width, (y + h) / height] for _, h, w, y, x in given]
    texts = torch.cat([text for text, *_ in given]).to(like.device, model.dtype)
    seen = placed_here.position_net(texts, torch.tensor(places, device=like.device))[None]
    gates = {
        placed(name.replace("/", ".")): gate
        for name, gate in cast("Mapping[str, GatedAttention]", placed_here.gates).items()
    }

    def between(looking: Looking, x: Tensor) -> Tensor:
        gate = gates.get((looking.place, looking.number))
        if gate is None:
            return x
        if gate.linear.out_features != x.shape[-1]:
            raise InvalidRequest(
                f"GLIGEN's layers do not fit this model ({model.family}), which has {x.shape[-1]} channels there.",
                remedy="Use it with Stable Diffusion 1.",
            )
        return gate(x, seen.expand(len(x), -1, -1))

    return NetworkHooks(between=(between,)).row_by_row()


def placed(name: str) -> tuple[Place, int]:
    """Where a transformer block stands, and the how manieth of its block it is. Raises InvalidRequest."""
    if found := _BLOCK.fullmatch(name):
        return Place(found[1], int(found[2])), int(found[3])
    if found := _MIDDLE.fullmatch(name):
        return Place("middle", 0), int(found[1])
    raise InvalidRequest(f"GLIGEN has a layer in {name!r}, which no U-Net has.", remedy="Use another file.")

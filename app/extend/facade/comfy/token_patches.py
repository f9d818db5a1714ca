"""Patches that packs put into transformers (SD 3, Flux) for one call, as hooks.

img (B, P, C) and txt (B, T, C) are tokens, vec (B, C) what holds for the whole picture, pe (1, 1, T + P, D/2, 2, 2) the
rotations of all tokens; "single" blocks have text and picture in img.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from app.diffusion.models.hooks import Embedded, Place, RunBlock, Streams

TOKEN_PATCHES = ("post_input", "double_block")
Patches = Mapping[str, list[Callable[..., Any]]]
# What packs call the blocks of each kind.
KINDS = {"joint": "double_block", "double": "double_block", "single": "single_block"}


def embedded_hook(patches: Patches) -> Callable[[Embedded], Embedded]:
    """The patches "post_input": {img, txt, img_ids, txt_ids} → the same."""

    def embedded(tokens: Embedded) -> Embedded:
        count = len(tokens.img)
        for patch in patches.get("post_input", ()):
            said = {
                "img": tokens.img,
                "txt": tokens.txt,
                "img_ids": tokens.img_positions[None].expand(count, -1, -1),
                "txt_ids": tokens.txt_positions[None].expand(count, -1, -1),
            }
            out = patch(said)
            tokens = Embedded(out["img"], out["txt"], out["img_ids"][0], out["txt_ids"][0])
        return tokens

    return embedded


def block_hook(
    options: Mapping[str, Any], patches: Patches, replaced: Mapping[Any, Callable[..., Any]]
) -> Callable[[Place, RunBlock], RunBlock]:
    """Whole blocks in their place (patches_replace "dit"), and the patches "double_block" after them."""

    def block(place: Place, usual: RunBlock) -> RunBlock:
        kind = KINDS[place.part]
        said = {**options, "block": (kind, place.block), "block_index": place.block}
        replacement = replaced.get((kind, place.block))
        run = usual if replacement is None else _in_place(replacement, usual, said)
        after = patches.get("double_block", ()) if kind == "double_block" else ()
        return _followed(run, after, place, said) if after else run

    return block


def _in_place(replacement: Callable[..., Any], usual: RunBlock, said: dict[str, Any]) -> RunBlock:
    def run(streams: Streams) -> Streams:
        given = _arguments(streams, said)

        def original(args: Mapping[str, Any]) -> dict[str, Any]:
            out = usual(_streams(args, given, streams))
            return {"img": out.img} if out.txt is None else {"img": out.img, "txt": out.txt}

        out: Mapping[str, Any] = replacement(given, {"original_block": original})
        return streams._replace(img=out["img"], txt=out.get("txt", streams.txt))

    return run


def _followed(run: RunBlock, after: Any, place: Place, said: dict[str, Any]) -> RunBlock:
    def followed(streams: Streams) -> Streams:
        out = run(streams)
        for patch in after:
            told = {"img": out.img, "txt": out.txt, "x": streams.img, "block_index": place.block}
            answer = patch({**told, "transformer_options": said})
            out = out._replace(img=answer["img"], txt=answer["txt"])
        return out

    return followed


def _arguments(streams: Streams, said: dict[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {"img": streams.img, "vec": streams.vector, "transformer_options": said}
    if streams.txt is not None:
        given["txt"] = streams.txt
    if streams.angles is not None:
        given |= {"pe": matrices(streams.angles), "attn_mask": None}
    return given


def _streams(args: Mapping[str, Any], given: Mapping[str, Any], streams: Streams) -> Streams:
    """What a pack hands the original block; what it left out or did not touch stays."""
    angles = streams.angles
    if args.get("pe") is not None and args["pe"] is not given.get("pe"):
        angles = angles_of(args["pe"])
    return Streams(args.get("img", streams.img), args.get("txt", streams.txt), args.get("vec", streams.vector), angles)


def matrices(angles: tuple[Tensor, Tensor]) -> Tensor:
    """Cosines and sines (L, D/2) as rotations (1, 1, L, D/2, 2, 2)."""
    cosine, sine = angles
    return torch.unflatten(torch.stack([cosine, -sine, sine, cosine], dim=-1), -1, (2, 2))[None, None]


def angles_of(pe: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse; of a batch, the first."""
    rotations = pe.flatten(0, -5)[0]
    return rotations[..., 0, 0], rotations[..., 1, 0]

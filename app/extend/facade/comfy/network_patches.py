"""Patches that packs put into a network for one call, as the hooks that our networks take with their arguments.

h feature maps (B, C, H, W), n tokens (B, P, C). Those of U-Nets are here, those of transformers in `token_patches`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from app.diffusion.models.hooks import Attend, Looking, NetworkHooks, Place, Sources
from app.extend.facade.comfy.ldm.modules.attention import attention_pytorch
from app.extend.facade.comfy.token_patches import TOKEN_PATCHES, block_hook, embedded_hook

Patches = Mapping[str, list[Callable[..., Any]]]

ATTENTION_PATCHES = ("attn1_patch", "attn2_patch", "attn1_output_patch", "attn2_output_patch")
OVERRIDE = "optimized_attention_override"
BLOCK_PATCHES = ("input_block_patch", "input_block_patch_after_skip", "output_block_patch", "middle_patch")


def needs_patching(options: Mapping[str, Any]) -> bool:
    """Whether the options hold anything that changes the network."""
    patches: Mapping[str, Any] = options.get("patches", {})
    replaced: Mapping[str, Any] = options.get("patches_replace", {})
    return (
        any(patches.get(name) for name in (*ATTENTION_PATCHES, *BLOCK_PATCHES, *TOKEN_PATCHES))
        or any(replaced.get(name) for name in ("attn1", "attn2", "dit"))
        or OVERRIDE in options
    )


def hooks_of(options: Mapping[str, Any]) -> NetworkHooks | None:
    """The patches of `options` (transformer_options) as hooks, None where there are none."""
    if not needs_patching(options):
        return None
    patches: Patches = options.get("patches", {})
    replaced: Mapping[str, Mapping[Any, Callable[..., Any]]] = options.get("patches_replace", {})

    def sources(at: Looking, given: Sources) -> Sources:
        x, keys, values = given
        for patch in patches.get(f"{at.name}_patch", ()):
            x, keys, values = patch(x, keys, values, _told(options, at, x.shape[-1]))
        return x, keys, values

    def attend(at: Looking, usual: Attend) -> Attend:
        found = replaced.get(at.name, {})
        replacement = found.get((*at.place, at.number)) or found.get(tuple(at.place))
        if replacement is None:
            return overridden(options, at, usual)
        return lambda q, k, v: replacement(q, k, v, _told(options, at, q.shape[-1]))

    def attended(at: Looking, x: Tensor) -> Tensor:
        for patch in patches.get(f"{at.name}_output_patch", ()):
            x = patch(x, _told(options, at, x.shape[-1]))
        return x

    return NetworkHooks(
        sources=(sources,),
        attend=(attend,),
        attended=(attended,),
        entering=(_entering(options, patches),),
        leaving=(_leaving(options, patches),),
        embedded=(embedded_hook(patches),),
        blocks=(block_hook(options, patches, replaced.get("dit", {})),),
    )


def overridden(options: Mapping[str, Any], at: Looking, usual: Attend) -> Attend:
    """Attention by a pack's own function, f(ours, q, k, v, heads, …), where it has set one."""
    override: Callable[..., Any] | None = options.get(OVERRIDE)
    if override is None:
        return usual

    def ours(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, **said: Any) -> Tensor:
        return attention_pytorch(q, k, v, heads, mask, **said)

    said = {"mask": None, "attn_precision": None, "skip_reshape": False, "skip_output_reshape": False}
    return lambda q, k, v: override(
        ours, q, k, v, at.heads, **said, transformer_options=_told(options, at, q.shape[-1])
    )


def _entering(
    options: Mapping[str, Any], patches: Patches
) -> Callable[[Place, Tensor, Tensor | None], tuple[Tensor, Tensor | None]]:
    def entering(place: Place, x: Tensor, skip: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if place.part == "input" and place.block > 0:
            for patch in patches.get("input_block_patch_after_skip", ()):
                x = patch(x, {**options, "block": ("input", place.block - 1)})
        if place.part == "output" and skip is not None:
            for patch in patches.get("output_block_patch", ()):
                x, skip = patch(x, skip, {**options, "block": tuple(place)})
        return x, skip

    return entering


def _leaving(options: Mapping[str, Any], patches: Patches) -> Callable[[Place, Tensor], Tensor]:
    def leaving(place: Place, x: Tensor) -> Tensor:
        said = {**options, "block": tuple(place)}
        if place.part == "input":
            for patch in patches.get("input_block_patch", ()):
                x = patch(x, said)
        if place.part == "middle":
            for patch in patches.get("middle_patch", ()):
                x = patch({"x": x, "h": x, "transformer_options": said})["h"]
        return x

    return leaving


def _told(options: Mapping[str, Any], at: Looking, width: int) -> dict[str, Any]:
    """What a patch of an attention is told; `width` is that of all heads together."""
    return {
        **options,
        "n_heads": at.heads,
        "dim_head": width // at.heads,
        "block": tuple(at.place),
        "block_index": at.number,
        "transformer_index": at.number,
    }

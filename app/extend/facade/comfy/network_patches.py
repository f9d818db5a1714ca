"""Patches that packs put into a U-Net for one call: around attention and around blocks.

They are instance attributes in place of methods, for as long as a call lasts; the network that others share is as it
was afterwards. h feature maps (B, C, H, W), n tokens (B, P, C).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from app.diffusion.models.attention import CrossAttention
from app.extend.facade.comfy.ldm.modules.attention import optimized_attention

Place = tuple[str, int]

ATTENTION_PATCHES = ("attn1_patch", "attn2_patch", "attn1_output_patch", "attn2_output_patch")
BLOCK_PATCHES = ("input_block_patch", "input_block_patch_after_skip", "output_block_patch", "middle_patch")


def needs_patching(options: Mapping[str, Any]) -> bool:
    """Whether the options hold anything that changes the network."""
    patches: Mapping[str, Any] = options.get("patches", {})
    replaced: Mapping[str, Any] = options.get("patches_replace", {})
    return any(patches.get(name) for name in (*ATTENTION_PATCHES, *BLOCK_PATCHES)) or any(
        replaced.get(name) for name in ("attn1", "attn2")
    )


@contextlib.contextmanager
def patched_network(network: nn.Module, options: Mapping[str, Any]) -> Generator[None]:
    """Inside, the network calls the patches of `options` (transformer_options)."""
    if not needs_patching(options):
        yield
        return
    skips: list[int] = []
    with contextlib.ExitStack() as undo:
        for place, block in _blocks(network):
            _replace(undo, block, "run", _block_call(block, place, options, skips))
            for name, index, attention in _attentions(block):
                _replace(undo, attention, "forward", _attention_call(attention, name, place, index, options))
        yield


def _replace(undo: contextlib.ExitStack, owner: nn.Module, name: str, call: Callable[..., Any]) -> None:
    if hasattr(owner, name):
        owner.__dict__[name] = call
        undo.callback(owner.__dict__.pop, name, None)


def _blocks(network: nn.Module) -> Iterator[tuple[Place, nn.Module]]:
    """The blocks of a U-Net with their places, in the order in which they run."""
    for name in ("input", "middle", "output"):
        found = getattr(network, f"{name}_block" if name == "middle" else f"{name}_blocks", None)
        if isinstance(found, nn.ModuleList):
            yield from (((name, index), block) for index, block in enumerate(found))
        elif isinstance(found, nn.Module):
            yield (name, 0), found


def _attentions(block: nn.Module) -> Iterator[tuple[str, int, CrossAttention]]:
    """(attn1 or attn2, number of the transformer block within its block, module)."""
    count = {"attn1": 0, "attn2": 0}
    found = cast("Iterator[tuple[str, nn.Module]]", block.named_modules())
    for path, module in found:
        name = path.rpartition(".")[2]
        if isinstance(module, CrossAttention) and name in count:
            yield name, count[name], module
            count[name] += 1


def _attention_call(
    module: CrossAttention, name: str, place: Place, index: int, options: Mapping[str, Any]
) -> Callable[..., Tensor]:
    patches: Mapping[str, list[Callable[..., Any]]] = options.get("patches", {})
    replaced: Mapping[Any, Callable[..., Any]] = options.get("patches_replace", {}).get(name, {})
    replacement = replaced.get((*place, index)) or replaced.get(place)
    width = module.to_q.weight.shape[0] // module.heads
    extra = {
        **options,
        "n_heads": module.heads,
        "dim_head": width,
        "block": place,
        "block_index": index,
        "transformer_index": index,
    }

    def call(x: Tensor, context: Tensor | None = None) -> Tensor:
        keys, values = (x if context is None else context), None
        for patch in patches.get(f"{name}_patch", ()):
            x, keys, values = patch(x, keys, keys if values is None else values, extra)
        q, k, v = module.to_q(x), module.to_k(keys), module.to_v(keys if values is None else values)
        out = replacement(q, k, v, extra) if replacement else optimized_attention(q, k, v, module.heads)
        out = module.to_out(out)
        for patch in patches.get(f"{name}_output_patch", ()):
            out = patch(out, extra)
        return out

    return call


def _block_call(block: nn.Module, place: Place, options: Mapping[str, Any], skips: list[int]) -> Callable[..., Tensor]:
    """The block with its patches. `skips` counts the channels that the way down hands over, for the way up."""
    patches: Mapping[str, list[Callable[..., Any]]] = options.get("patches", {})
    usual: Callable[..., Tensor] = getattr(block, "run", block.forward)
    said = {**options, "block": place}

    def call(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        kind, index = place
        if kind == "input":
            if index == 0:
                skips.clear()
            else:
                for patch in patches.get("input_block_patch_after_skip", ()):
                    x = patch(x, {**said, "block": ("input", index - 1)})
        if kind == "output" and skips:
            channels = skips.pop()
            h, skip = x[:, :-channels], x[:, -channels:]
            for patch in patches.get("output_block_patch", ()):
                h, skip = patch(h, skip, said)
            x = torch.cat([h, skip], dim=1)
        x = usual(x, *args, **kwargs)
        for patch in patches.get("input_block_patch" if kind == "input" else f"{kind}_patch", ()):
            x = patch(x, said) if kind == "input" else patch({"x": x, "h": x, "transformer_options": said})["h"]
        if kind == "input":
            skips.append(x.shape[1])
        return x

    return call

"""Nodes that load text encoders from files of their own."""

from __future__ import annotations

from typing import Annotated, Literal

from app.api import Clip, Context, FileIn, Optionally, Range, node

Tower = Annotated[str, FileIn("text_encoders")]
CATEGORY = "advanced/loaders"


@node("Load CLIP", category=CATEGORY, id="CLIPLoader", aliases=("text encoder", "t5", "bert"))
def clip_loader(
    *,
    context: Context,
    clip_name: Tower,
    type: Literal["stable_diffusion", "sd3"],
    device: Annotated[Literal["default", "cpu"], Optionally()] = "default",
) -> Clip:
    """Loads a text encoder: CLIP L for Stable Diffusion 1, H for 2, bigG for SDXL's refiner, any for 3.

    Args:
        clip_name: The file to load, from models/text_encoders or models/clip.
        type: What kind of model it is for.
        device: Where it runs when the memory allows a choice; the memory decides.
    """
    return context.models.text_encoder({"clip_name": clip_name}, type)


@node("DualCLIPLoader", category=CATEGORY, id="DualCLIPLoader", aliases=("text encoder", "t5", "flux", "sdxl"))
def dual_clip_loader(
    *,
    context: Context,
    clip_name1: Tower,
    clip_name2: Tower,
    type: Literal["sdxl", "sd3", "flux"],
    device: Annotated[Literal["default", "cpu"], Optionally()] = "default",
) -> Clip:
    """Loads two text encoders that work together, in either order: L and bigG for SDXL, L and T5 for Flux.

    Args:
        type: What kind of model they are for; Stable Diffusion 3 takes any two of L, bigG and T5.
        device: Where they run when the memory allows a choice; the memory decides.
    """
    return context.models.text_encoder({"clip_name1": clip_name1, "clip_name2": clip_name2}, type)


@node("TripleCLIPLoader", category=CATEGORY, id="TripleCLIPLoader", aliases=("text encoder", "t5", "sd3"))
def triple_clip_loader(*, context: Context, clip_name1: Tower, clip_name2: Tower, clip_name3: Tower) -> Clip:
    """Loads Stable Diffusion 3's three text encoders, in any order: CLIP L, CLIP bigG and T5."""
    names = {"clip_name1": clip_name1, "clip_name2": clip_name2, "clip_name3": clip_name3}
    return context.models.text_encoder(names, "sd3")


@node("T5TokenizerOptions", category="_for_testing/conditioning", id="T5TokenizerOptions", experimental=True)
def t5_tokenizer_options(
    *,
    clip: Clip,
    min_padding: Annotated[int, Range(0, 10000, step=1)] = 0,
    min_length: Annotated[int, Range(0, 10000, step=1)] = 0,
) -> Clip:
    """Says how far T5's tokens are filled up; models were trained with one length and also see the filling.

    Args:
        min_padding: How many tokens follow at least.
        min_length: How many tokens there are at least.
    """
    return clip.with_lengths(min_length, min_padding)

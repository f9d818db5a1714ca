"""Nodes that change what happens inside a model's network, for those that they are linked to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

import torch
from torch import nn

from app.api import Choice, Clip, Context, FileIn, InvalidRequest, Model, Range, node
from app.diffusion.adapters.change import Edit, Place
from app.diffusion.adapters.merge import Scaled
from app.diffusion.adapters.twin import in_precision, with_edits
from app.diffusion.compiled import compiled
from app.diffusion.guidance.features import free_u, scaled_attention, shrunk
from app.diffusion.guidance.hyper_tile import SMALLEST, hyper_tile
from app.diffusion.guidance.reuse import Reuse
from app.diffusion.guidance.token_merging import token_merging
from app.diffusion.models.unet import UNetConfig
from app.images.resize import resize
from nodes.guidance import hooked

UNET = "model_patches/unet"
ATTENTION = "_for_testing/attention_experiments"
Factor = Annotated[float, Range(0.0, 10.0, step=0.01)]
Moment = Annotated[float, Range(0.0, 1.0, step=0.001)]
Method = Annotated[str, Choice("bicubic", "nearest-exact", "bilinear", "area", "bislerp")]


def _width(model: Model) -> int:
    config = getattr(model.network, "config", None)
    if not isinstance(config, UNetConfig):
        raise InvalidRequest("This model has no U-Net.", remedy="Use it with Stable Diffusion 1, 2 or XL.")
    return config.model_channels


@node("FreeU", category=UNET, id="FreeU")
def free_u_first(*, model: Model, b1: Factor = 1.1, b2: Factor = 1.2, s1: Factor = 0.9, s2: Factor = 0.2) -> Model:
    """Stronger features and weaker shortcuts in a U-Net, for cleaner pictures at no cost.

    Args:
        b1: Factor on the deepest features.
        b2: Factor on the features of the level above.
        s1: Factor on the coarse part of the shortcuts to the deepest level.
        s2: Factor on those to the level above.
    """
    return hooked(model, network=free_u(_width(model), (b1, b2), (s1, s2), by_content=False))


@node("FreeU_V2", category=UNET, id="FreeU_V2")
def free_u_second(*, model: Model, b1: Factor = 1.3, b2: Factor = 1.4, s1: Factor = 0.9, s2: Factor = 0.2) -> Model:
    """FreeU whose emphasis follows the picture.

    Args:
        b1: Factor on the deepest features.
        b2: Factor on the features of the level above.
        s1: Factor on the coarse part of the shortcuts to the deepest level.
        s2: Factor on those to the level above.
    """
    return hooked(model, network=free_u(_width(model), (b1, b2), (s1, s2), by_content=True))


@node("PatchModelAddDownscale (Kohya Deep Shrink)", category=UNET, id="PatchModelAddDownscale", aliases=("hires",))
def add_downscale(
    *,
    model: Model,
    block_number: Annotated[int, Range(1, 32, step=1)] = 3,
    downscale_factor: Annotated[float, Range(0.1, 9.0, step=0.001)] = 2.0,
    start_percent: Moment = 0.0,
    end_percent: Moment = 0.35,
    downscale_after_skip: bool = True,
    downscale_method: Method,
    upscale_method: Method,
) -> Model:
    """Lets the deep blocks see a large picture small during the first steps, so that nothing is drawn twice.

    Args:
        block_number: From which input block on.
        end_percent: After which part of the way the blocks see it whole.
    """
    _width(model)
    start, end = (model.sampling.percent_to_sigma(part) for part in (start_percent, end_percent))
    smaller, larger = (partial(resize, method=method) for method in (downscale_method, upscale_method))
    changed = shrunk(
        block_number,
        downscale_factor,
        start=start,
        end=end,
        after_skip=downscale_after_skip,
        resize=lambda x, width, height: smaller(x, width, height).to(x.dtype),
        enlarge=lambda x, width, height: larger(x, width, height).to(x.dtype),
    )
    return hooked(model, network=changed)


@node("UNet Self-Attention Multiply", category=ATTENTION, id="UNetSelfAttentionMultiply")
def self_attention_multiply(
    *, model: Model, q: Factor = 1.0, k: Factor = 1.0, v: Factor = 1.0, out: Factor = 1.0
) -> Model:
    """Multiplies queries, keys, values and results where the model looks at the picture."""
    return hooked(model, network=scaled_attention("attn1", q, k, v, out))


@node("UNet Cross-Attention Multiply", category=ATTENTION, id="UNetCrossAttentionMultiply")
def cross_attention_multiply(
    *, model: Model, q: Factor = 1.0, k: Factor = 1.0, v: Factor = 1.0, out: Factor = 1.0
) -> Model:
    """Multiplies queries, keys, values and results where the model looks at the text."""
    return hooked(model, network=scaled_attention("attn2", q, k, v, out))


@node("UNet Temporal Attention Multiply", category=ATTENTION, id="UNetTemporalAttentionMultiply", experimental=True)
def temporal_attention_multiply(
    *,
    model: Model,
    self_structural: Factor = 1.0,
    self_temporal: Factor = 1.0,
    cross_structural: Factor = 1.0,
    cross_temporal: Factor = 1.0,
) -> Model:
    """Multiplies what attention hands on, apart for that within a picture and that between the pictures of a video.

    Args:
        self_structural: Where a picture looks at itself.
        self_temporal: Where pictures look at each other; models of single pictures have none.
        cross_structural: Where a picture looks at the text.
        cross_temporal: Where pictures of a video look at the text.
    """
    factors = {
        r".*\.time_stack\..*attn1\.to_out\.0\.(weight|bias)": self_temporal,
        r".*\.time_stack\..*attn2\.to_out\.0\.(weight|bias)": cross_temporal,
        r".*attn1\.to_out\.0\.(weight|bias)": self_structural,
        r".*attn2\.to_out\.0\.(weight|bias)": cross_structural,
    }
    _width(model)
    return replace(model, network=with_edits(model.network, _scaled(model.network, factors)))


@node("CLIP Attention Multiply", category=ATTENTION, id="CLIPAttentionMultiply", experimental=True)
def clip_attention_multiply(
    *, clip: Clip, q: Factor = 1.0, k: Factor = 1.0, v: Factor = 1.0, out: Factor = 1.0
) -> Clip:
    """Multiplies the weights of queries, keys, values and results in CLIP's text encoders."""
    parts = {"q_proj": q, "k_proj": k, "v_proj": v, "out_proj": out}
    factors = {rf".*self_attn\.{name}\.(weight|bias)": factor for name, factor in parts.items()}
    return clip.with_towers({name: with_edits(tower, _scaled(tower, factors)) for name, tower in clip.towers.items()})


def _scaled(network: nn.Module, factors: Mapping[str, float]) -> Iterator[Edit]:
    """Edits of the parameters by the first pattern that fits their names."""
    for name, _ in network.named_parameters():
        factor = next((each for pattern, each in factors.items() if re.fullmatch(pattern, name)), 1.0)
        if factor != 1.0:
            yield Edit(Place(name), Scaled(factor))


@node("HyperTile", category=UNET, id="HyperTile", aliases=("fast", "tile", "attention"))
def hyper_tile_node(
    *,
    model: Model,
    tile_size: Annotated[int, Range(1, 2048)] = 256,
    swap_size: Annotated[int, Range(1, 128)] = 2,
    max_depth: Annotated[int, Range(0, 10)] = 0,
    scale_depth: bool = False,
) -> Model:
    """Lets a U-Net look at large pictures tile by tile, which is much faster there.

    Args:
        tile_size: The least side of a tile in pixels.
        swap_size: Among how many tilings each step chooses, so that no seams stay.
        max_depth: Down to which level; each further one has half the size.
        scale_depth: Whether tiles of deeper levels cover more of the picture.
    """
    _width(model)
    size = max(SMALLEST, tile_size // model.latent.factor)
    return hooked(model, network=hyper_tile(size, swap_size, max_depth, grows=scale_depth))


@node("Token Merging", category=UNET, id="TomePatchModel", aliases=("ToMe", "fast", "attention"))
def token_merging_node(*, model: Model, ratio: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.3) -> Model:
    """Lets a U-Net treat places that look alike as one while it looks at the picture, which is faster.

    Args:
        ratio: Which share of the places is merged; at most three of four are.
    """
    _width(model)
    return hooked(model, network=token_merging(ratio))


@node("HypernetworkLoader", category="loaders", id="HypernetworkLoader", aliases=("style",))
def hypernetwork_loader(
    *,
    context: Context,
    model: Model,
    hypernetwork_name: Annotated[str, FileIn("hypernetworks")],
    strength: Annotated[float, Range(-10.0, 10.0, step=0.01)] = 1.0,
) -> Model:
    """Changes by a hypernetwork what a U-Net looks at.

    Args:
        hypernetwork_name: The file to load, from models/hypernetworks.
        strength: How much; 0 for not at all.
    """
    _width(model)
    return hooked(model, network=context.models.hypernetwork(hypernetwork_name).hooks(strength))


Threshold = Annotated[float, Range(0.0, 3.0, step=0.01)]
Share = Annotated[float, Range(0.0, 1.0, step=0.01)]
DEBUG = "advanced/debug/model"
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@node("ModelComputeDtype", category=DEBUG, id="ModelComputeDtype", aliases=("precision", "half"))
def model_compute_dtype(*, model: Model, dtype: Annotated[str, Choice("default", *PRECISIONS)]) -> Model:
    """Lets a model compute in another precision.

    Args:
        dtype: "default" changes nothing; fp32 is the most exact and takes the most memory.
    """
    return model if dtype == "default" else replace(model, network=in_precision(model.network, PRECISIONS[dtype]))


@node(
    "TorchCompileModel", category="_for_testing", id="TorchCompileModel", experimental=True, aliases=("fast", "compile")
)
def torch_compile_model(*, model: Model, backend: Literal["inductor", "cudagraphs"]) -> Model:
    """Compiles a model when it is first used, which takes a minute or more, so that later steps are faster.

    Put it last: what changes the model's weights after it (Load LoRA) is not compiled.

    Args:
        backend: "inductor" writes code for the processor or the GPU; "cudagraphs" records the GPU's work.
    """
    return replace(model, network=compiled(model.network, backend))


@node("EasyCache", category=DEBUG, id="EasyCache", experimental=True, aliases=("fast", "skip steps"))
def easy_cache(
    *,
    model: Model,
    reuse_threshold: Threshold = 0.2,
    start_percent: Share = 0.15,
    end_percent: Share = 0.95,
    verbose: bool = False,
) -> Model:
    """Leaves out steps in which the model's answers would hardly change, and carries the last ones on.

    Args:
        reuse_threshold: How large the estimated error may grow before the model is asked again; more is faster.
        start_percent: From which part of the way on steps may be left out.
        end_percent: Up to which part of the way.
        verbose: Whether the log tells each step that is left out.
    """
    return hooked(model, reuse=_reuse(model, reuse_threshold, start_percent, end_percent, verbose).around)


@node("LazyCache", category=DEBUG, id="LazyCache", experimental=True, aliases=("fast", "skip steps"))
def lazy_cache(
    *,
    model: Model,
    reuse_threshold: Threshold = 0.2,
    start_percent: Share = 0.15,
    end_percent: Share = 0.95,
    verbose: bool = False,
) -> Model:
    """As EasyCache, but carries on what all guidance has made of the answers, and leaves that out too.

    Args:
        reuse_threshold: How large the estimated error may grow before the model is asked again; more is faster.
        start_percent: From which part of the way on steps may be left out.
        end_percent: Up to which part of the way.
        verbose: Whether the log tells each step that is left out.
    """
    return hooked(model, reuse_guided=_reuse(model, reuse_threshold, start_percent, end_percent, verbose).around)


def _reuse(model: Model, threshold: float, start: float, end: float, told: bool) -> Reuse:
    first, last = (model.sampling.percent_to_sigma(part) for part in (start, end))
    return Reuse(model.sampling, threshold, first, last, told)

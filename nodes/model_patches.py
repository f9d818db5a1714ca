"""Nodes that change what happens inside a model's network, for those that they are linked to."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from app.api import Choice, InvalidRequest, Model, Range, node
from app.diffusion.guidance.features import free_u, scaled_attention, shrunk
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

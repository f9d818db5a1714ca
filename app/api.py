"""The stable surface for authors of nodes: the decorator, the types of ports and their limits, the context.

from app.api import Image, Range, node

@node("Brighten", category="image")
def brighten(*, image: Image, factor: Annotated[float, Range(0.0, 4.0, step=0.05)] = 1.2) -> Image:
    \"\"\"Makes an image brighter.\"\"\"
    return (image * factor).clamp(0, 1)
"""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor

from app.context.protocol import Context
from app.diffusion.conditioning.entries import Conditioning as ConditioningValue
from app.diffusion.conditioning.text_encoder import PromptEncoder
from app.diffusion.drawing import Guider, Noise, SamplerChoice
from app.diffusion.first_stage import FirstStage
from app.diffusion.model import DiffusionModel
from app.errors import AppError, Cancelled, InvalidRequest
from app.graph.declaration import (
    Choice,
    FileIn,
    Hidden,
    Lazy,
    Optionally,
    Options,
    Port,
    Range,
    Seed,
    Text,
    Tip,
    node,
)
from app.graph.returned import Blocker, LoopState, Returned

__all__ = [
    "AppError",
    "Blocker",
    "Cancelled",
    "Choice",
    "Clip",
    "Conditioning",
    "Context",
    "ExtraInfo",
    "FileIn",
    "GuiderPort",
    "Hidden",
    "Image",
    "InvalidRequest",
    "Latent",
    "Lazy",
    "LoopState",
    "Mask",
    "Model",
    "NoisePort",
    "Optionally",
    "Options",
    "Port",
    "PromptData",
    "Range",
    "Returned",
    "SamplerPort",
    "Seed",
    "Sigmas",
    "Text",
    "Tip",
    "Vae",
    "node",
]

Model = Annotated[DiffusionModel, Port("MODEL")]
Clip = Annotated[PromptEncoder, Port("CLIP")]
Vae = Annotated[FirstStage, Port("VAE")]
# A list of [features (B, T, C), options].
Conditioning = Annotated[ConditioningValue, Port("CONDITIONING")]
# {"samples": (B, C, h, w), "noise_mask"?: (B, 1, H, W), "batch_index"?: [int, …]}, not scaled for a model.
Latent = Annotated[dict[str, Any], Port("LATENT")]
# (B, H, W, C) float32 in 0..1.
Image = Annotated[Tensor, Port("IMAGE")]
# (B, H, W) float32 in 0..1.
Mask = Annotated[Tensor, Port("MASK")]
# (n + 1,) falling noise levels.
Sigmas = Annotated[Tensor, Port("SIGMAS")]

# What a sampler follows, which one it is, and its noise.
GuiderPort = Annotated[Guider, Port("GUIDER")]
SamplerPort = Annotated[SamplerChoice, Port("SAMPLER")]
NoisePort = Annotated[Noise, Port("NOISE")]

# Hidden inputs of nodes that save: the prompt, and what the client wants to be written beside it.
PromptData = Annotated[Any, Hidden("PROMPT")]
ExtraInfo = Annotated[Any, Hidden("EXTRA_PNGINFO")]

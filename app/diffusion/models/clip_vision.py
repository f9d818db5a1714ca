"""CLIP's vision tower (Radford et al. 2021, arXiv:2103.00020), with the transformers checkpoints' module names.

B images, T tokens (the class and the patches), C width
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.models.clip_text import ClipTextConfig, Encoder

# Of red, green and blue in the pictures that CLIP was trained on.
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class ClipVisionConfig:
    """The shape of a vision tower; the defaults are ViT-L/14's. `size` is the side of the pictures in pixels."""

    width: int = 1024
    layers: int = 24
    heads: int = 16
    inner: int = 4096
    patch: int = 14
    size: int = 224
    activation: str = "quick_gelu"
    projection: int = 768


VISION_L = ClipVisionConfig()
VISION_H = ClipVisionConfig(1280, 32, 16, 5120, activation="gelu", projection=1024)
VISION_G = ClipVisionConfig(1664, 48, 16, 8192, activation="gelu", projection=1280)


def clip_vision_config(shapes: Mapping[str, Sequence[int]]) -> ClipVisionConfig:
    """The configuration that tensors of these shapes belong to.

    Raises:
        KeyError: a tensor that every tower has is missing.
    """
    width, _, patch, _ = shapes["vision_model.embeddings.patch_embedding.weight"]
    places = shapes["vision_model.embeddings.position_embedding.weight"][0]
    layers = {name.split(".")[3] for name in shapes if name.startswith("vision_model.encoder.layers.")}
    return ClipVisionConfig(
        width=width,
        layers=len(layers),
        heads=16,  # of all three published widths
        inner=shapes["vision_model.encoder.layers.0.mlp.fc1.weight"][0],
        patch=patch,
        size=round((places - 1) ** 0.5) * patch,
        activation="quick_gelu" if width == VISION_L.width else "gelu",
        projection=shapes["visual_projection.weight"][0],
    )


@dataclass(frozen=True, slots=True)
class VisionFeatures:
    """What the tower says of pictures.

    `last_hidden_state` and `penultimate_hidden_states` (B, T, C) are layers' outputs, not normalised; `image_embeds`
    (B, P) is what texts are compared with.
    """

    last_hidden_state: Tensor
    penultimate_hidden_states: Tensor
    image_embeds: Tensor


class Embeddings(nn.Module):
    """Patches, the class token before them, and places."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.randn(config.width))
        self.patch_embedding = nn.Conv2d(3, config.width, config.patch, stride=config.patch, bias=False)
        self.position_embedding = nn.Embedding((config.size // config.patch) ** 2 + 1, config.width)

    def forward(self, pixels: Tensor) -> Tensor:  # (B, 3, S, S)
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_embedding.expand(len(patches), 1, -1), patches], dim=1)
        return tokens + self.position_embedding.weight


class VisionModel(nn.Module):
    """Embeddings, layers and the normalisations around them, one of them misspelt in every file."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.pre_layrnorm = nn.LayerNorm(config.width)
        block = ClipTextConfig(
            width=config.width, layers=config.layers, heads=config.heads, activation=config.activation
        )
        self.encoder = Encoder(block, causal=False, inner=config.inner)
        self.post_layernorm = nn.LayerNorm(config.width)


class ClipVision(nn.Module):
    """Pictures to features; see `VisionFeatures`."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_model = VisionModel(config)
        self.visual_projection = nn.Linear(config.width, config.projection, bias=False)

    @torch.no_grad()
    def see(self, pixels: Tensor) -> VisionFeatures:
        """As `forward`, for the graph: float32 on the CPU."""
        said = self(pixels)
        parts = (said.last_hidden_state, said.penultimate_hidden_states, said.image_embeds)
        return VisionFeatures(*(part.float().cpu() for part in parts))

    def forward(self, pixels: Tensor) -> VisionFeatures:
        """Features of pictures (B, 3, S, S) as `seen` gives them."""
        model = self.vision_model
        x = model.pre_layrnorm(model.embeddings(pixels))
        penultimate = x
        for block in model.encoder.layers:
            penultimate, x = x, block(x)
        return VisionFeatures(x, penultimate, self.visual_projection(model.post_layernorm(x[:, 0])))


def seen(image: Tensor, size: int, *, crop: bool = True) -> Tensor:
    """Pictures (B, H, W, 3 or more) in 0..1 as the tower looks at them: (B, 3, size, size), normalised.

    With `crop` the middle square is looked at, otherwise the whole picture, squeezed.
    """
    pixels = image[..., :3].movedim(-1, 1).float()
    height, width = pixels.shape[-2:]
    scale = size / min(height, width)
    target = (round(scale * height), round(scale * width)) if crop else (size, size)
    if (height, width) != target:
        pixels = F.interpolate(pixels, size=target, mode="bicubic", antialias=True)
    top, left = (target[0] - size) // 2, (target[1] - size) // 2
    pixels = pixels[..., top : top + size, left : left + size]
    pixels = (pixels * 255).clamp(0, 255).round() / 255
    mean, deviation = (torch.tensor(values, device=pixels.device)[:, None, None] for values in (MEAN, DEVIATION))
    return (pixels - mean) / deviation

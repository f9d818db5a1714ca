"""CLIP's vision tower (Radford et al. 2021, arXiv:2103.00020) and SigLIP's (Zhai et al. 2023, arXiv:2303.15343).

Module names are those of the transformers checkpoints.

B images, T tokens (the class and the patches), C width
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.models.clip_text import MLP, ClipTextConfig, Encoder

Colour = tuple[float, float, float]
# Of red, green and blue in the pictures that CLIP was trained on.
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)  # both, of those that SigLIP was trained on
EPSILON = {False: 1e-5, True: 1e-6}  # in normalisations of CLIP, and of SigLIP


@dataclass(frozen=True, slots=True)
class ClipVisionConfig:
    """The shape of a vision tower; the defaults are ViT-L/14's. `size` is the side of the pictures in pixels.

    `sigmoid` is SigLIP's: no class token, no normalisation before the layers and no projection, but where the file has
    it a `head`, which attends to all patches.
    """

    width: int = 1024
    layers: int = 24
    heads: int = 16
    inner: int = 4096
    patch: int = 14
    size: int = 224
    activation: str = "quick_gelu"
    projection: int = 768
    sigmoid: bool = False
    head: bool = False


VISION_L = ClipVisionConfig()
VISION_H = ClipVisionConfig(1280, 32, 16, 5120, activation="gelu", projection=1024)
VISION_G = ClipVisionConfig(1664, 48, 16, 8192, activation="gelu", projection=1280)
SIGLIP = ClipVisionConfig(1152, 27, 16, 4304, 14, 384, "gelu_tanh", 0, sigmoid=True, head=True)
SIGLIP_HEADS = {768: 12}  # by width; 16 in the others


def clip_vision_config(shapes: Mapping[str, Sequence[int]]) -> ClipVisionConfig:
    """The configuration that tensors of these shapes belong to.

    Raises:
        KeyError: a tensor that every tower has is missing.
    """
    width, _, patch, _ = shapes["vision_model.embeddings.patch_embedding.weight"]
    places = shapes["vision_model.embeddings.position_embedding.weight"][0]
    layers = {name.split(".")[3] for name in shapes if name.startswith("vision_model.encoder.layers.")}
    if "vision_model.embeddings.class_embedding" not in shapes:
        side = round(places**0.5)
        return ClipVisionConfig(
            width=width,
            layers=len(layers),
            heads=SIGLIP_HEADS.get(width, 16),
            inner=shapes["vision_model.encoder.layers.0.mlp.fc1.weight"][0],
            patch=patch,
            size=384 if (side, patch) == (27, 14) else side * patch,  # the last 6 pixels make no patch
            activation="gelu_tanh",
            projection=0,
            sigmoid=True,
            head="vision_model.head.probe" in shapes,
        )
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

    `last_hidden_state` and `penultimate_hidden_states` (B, T, C) are layers' outputs, the last one normalised by SigLIP
    only; `image_embeds` (B, P) is what texts are compared with.
    """

    last_hidden_state: Tensor
    penultimate_hidden_states: Tensor
    image_embeds: Tensor


class Embeddings(nn.Module):
    """Patches, the class token before them, and places."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.first = 0 if config.sigmoid else 1
        if self.first:
            self.class_embedding = nn.Parameter(torch.randn(config.width))
        self.patch_embedding = nn.Conv2d(3, config.width, config.patch, stride=config.patch, bias=config.sigmoid)
        self.position_embedding = nn.Embedding((config.size // config.patch) ** 2 + self.first, config.width)

    def forward(self, pixels: Tensor) -> Tensor:  # (B, 3, S, S)
        tokens = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        if self.first:
            tokens = torch.cat([self.class_embedding.expand(len(tokens), 1, -1), tokens], dim=1)
        return tokens + self.position_embedding.weight


class Head(nn.Module):
    """A learned question to all patches, and a layer on the answer: (B, T, C) → (B, C)."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.probe = nn.Parameter(torch.randn(1, 1, config.width))
        self.attention = nn.MultiheadAttention(config.width, config.heads, batch_first=True)
        self.layernorm = nn.LayerNorm(config.width)
        self.mlp = MLP(_block(config), config.inner)

    def forward(self, x: Tensor) -> Tensor:
        answer = self.attention(self.probe.expand(len(x), -1, -1), x, x, need_weights=False)[0]
        return (answer + self.mlp(self.layernorm(answer)))[:, 0]


def _block(config: ClipVisionConfig) -> ClipTextConfig:
    return ClipTextConfig(width=config.width, layers=config.layers, heads=config.heads, activation=config.activation)


class VisionModel(nn.Module):
    """Embeddings, layers and the normalisations around them, one of them misspelt in every file."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        if not config.sigmoid:
            self.pre_layrnorm = nn.LayerNorm(config.width)
        self.encoder = Encoder(_block(config), causal=False, inner=config.inner)
        self.post_layernorm = nn.LayerNorm(config.width)
        if config.head:
            self.head = Head(config)
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = EPSILON[config.sigmoid]


class ClipVision(nn.Module):
    """Pictures to features; see `VisionFeatures`."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_model = VisionModel(config)
        if config.projection:
            self.visual_projection = nn.Linear(config.width, config.projection, bias=False)

    def look(self, image: Tensor, *, crop: bool = True) -> Tensor:
        """Pictures (B, H, W, 3 or more) in 0..1 as this tower looks at them, where and as its weights are."""
        usual = {"mean": HALF, "deviation": HALF} if self.config.sigmoid else {}
        return seen(image, self.config.size, crop=crop, **usual).to(self.vision_model.post_layernorm.weight)

    @torch.no_grad()
    def see(self, pixels: Tensor) -> VisionFeatures:
        """As `forward`, for the graph: float32 on the CPU."""
        said = self(pixels)
        parts = (said.last_hidden_state, said.penultimate_hidden_states, said.image_embeds)
        return VisionFeatures(*(part.float().cpu() for part in parts))

    def forward(self, pixels: Tensor) -> VisionFeatures:
        """Features of pictures (B, 3, S, S) as `look` gives them."""
        model = self.vision_model
        x = model.embeddings(pixels)
        if not self.config.sigmoid:
            x = model.pre_layrnorm(x)
        penultimate = x
        for block in model.encoder.layers:
            penultimate, x = x, block(x)
        if self.config.sigmoid:
            x = model.post_layernorm(x)
            return VisionFeatures(x, penultimate, model.head(x) if self.config.head else x.mean(dim=1))
        return VisionFeatures(x, penultimate, self.visual_projection(model.post_layernorm(x[:, 0])))


def seen(image: Tensor, size: int, *, crop: bool = True, mean: Colour = MEAN, deviation: Colour = DEVIATION) -> Tensor:
    """Pictures (B, H, W, 3 or more) in 0..1 as a tower looks at them: (B, 3, size, size), normalised.

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
    middle, spread = (torch.tensor(values, device=pixels.device)[:, None, None] for values in (mean, deviation))
    return (pixels - middle) / spread

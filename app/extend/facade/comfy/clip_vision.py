"""`comfy.clip_vision`: the program's own vision towers as packs hold and call them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from app.diffusion.models.clip_vision import DEVIATION, HALF, MEAN, ClipVision, VisionFeatures, seen
from app.extend.facade.comfy.model_management import intermediate_device
from app.extend.facade.comfy.model_patcher import ModelPatcher
from app.extend.facade.host import HOST
from app.weights.stored import WeightsFile, below, held
from app.weights.vision import clip_vision_of, load_clip_vision


class Output:
    """What a tower says of pictures; by attribute and by key, and packs may add to it. See `VisionFeatures`."""

    last_hidden_state: Any = None
    penultimate_hidden_states: Any = None
    image_embeds: Any = None
    mm_projected: Any = None

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)

    def __setitem__(self, key: str, item: Any) -> None:
        setattr(self, key, item)


def output_of(features: VisionFeatures) -> Output:
    """Our features as packs know them."""
    made = Output()
    for name in ("last_hidden_state", "penultimate_hidden_states", "image_embeds"):
        made[name] = getattr(features, name)
    return made


def features_of(output: Output) -> VisionFeatures:
    """The inverse of `output_of`."""
    return VisionFeatures(output.last_hidden_state, output.penultimate_hidden_states, output.image_embeds)


def clip_preprocess(
    image: Tensor, size: int = 224, mean: Sequence[float] = MEAN, std: Sequence[float] = DEVIATION, crop: bool = True
) -> Tensor:
    """Pictures (B, H, W, C) in 0..1 as a tower looks at them: (B, 3, size, size), of this mean and deviation."""
    pixels = seen(image, size, crop=crop)
    if tuple(mean) == MEAN and tuple(std) == DEVIATION:
        return pixels
    usual, other = ((_column(a, pixels), _column(b, pixels)) for a, b in ((MEAN, DEVIATION), (mean, std)))
    return (pixels * usual[1] + usual[0] - other[0]) / other[1]


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(list(values), device=like.device)[:, None, None]


class Tower(nn.Module):
    """A tower under the arguments that packs call it with."""

    def __init__(self, native: ClipVision) -> None:
        super().__init__()
        self.native = native

    def forward(
        self, pixel_values: Tensor, attention_mask: Any = None, intermediate_output: int | str | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor, None]:
        """(last layer (B, T, C), the one asked for or None, embeddings (B, P), None) of pictures (B, 3, S, S).

        `intermediate_output` is a layer, from the end if negative, or "all" for (B, layers, T, C).
        """
        model = self.native.vision_model
        sigmoid = self.native.config.sigmoid
        x: Tensor = model.embeddings(pixel_values)
        x = x if sigmoid else model.pre_layrnorm(x)
        states: list[Tensor] = []
        for block in model.encoder.layers:
            x = block(x)
            states.append(x)
        between = torch.stack(states, dim=1) if intermediate_output == "all" else None
        if isinstance(intermediate_output, int):
            between = states[intermediate_output]
        if sigmoid:
            x = model.post_layernorm(x)
            return x, between, model.head(x) if self.native.config.head else x.mean(dim=1), None
        return x, between, self.native.visual_projection(model.post_layernorm(x[:, 0])), None


class ClipVisionModel:
    """A vision tower. `image_size` is the side of the pictures that it looks at."""

    def __init__(self, native: ClipVision) -> None:
        self.native = native
        self.model = Tower(native)
        self.image_size = native.config.size
        colours = (HALF, HALF) if native.config.sigmoid else (MEAN, DEVIATION)
        self.image_mean, self.image_std = (list(each) for each in colours)
        self.return_all_hidden_states = False
        self.load_device = HOST.now.device
        self.dtype = native.vision_model.post_layernorm.weight.dtype
        self.patcher = ModelPatcher(native)

    def load_sd(self, sd: Mapping[str, Tensor]) -> Any:
        """Take these weights; tells which names were missing or unknown."""
        return self.native.load_state_dict(dict(sd), strict=False)

    def get_sd(self) -> dict[str, Tensor]:
        """The weights by name."""
        return self.native.state_dict()

    def encode_image(self, image: Tensor, crop: bool = True) -> Output:
        """What the tower says of pictures (B, H, W, C) in 0..1; float32 where values between nodes lie."""
        with HOST.now.residency.using(self.native), torch.no_grad():
            device = self.native.vision_model.post_layernorm.weight.device
            pixels = self.native.look(image.to(device), crop=crop)
            asked = "all" if self.return_all_hidden_states else -2
            last, between, embeds, _ = self.model(pixels, intermediate_output=asked)
        made = Output()
        for name, value in (("last_hidden_state", last), ("image_embeds", embeds)):
            made[name] = value.float().to(intermediate_device())
        name = "all_hidden_states" if self.return_all_hidden_states else "penultimate_hidden_states"
        made[name] = between.float().to(intermediate_device())
        if self.return_all_hidden_states:
            made["penultimate_hidden_states"] = made["all_hidden_states"][:, -2]
        return made


def load(ckpt_path: str) -> ClipVisionModel:
    """The vision tower in a file.

    Raises:
        Missing, UnusableFile, UnknownFamily: no file, a damaged one, one without a tower.
    """
    with torch.inference_mode(False):
        return ClipVisionModel(load_clip_vision(Path(ckpt_path)))


def load_clipvision_from_sd(sd: Mapping[str, Tensor], prefix: str = "", convert_keys: bool = False) -> ClipVisionModel:
    """The vision tower that tensors make, in any of the layouts that files have. Raises as `load`."""
    with torch.inference_mode(False):
        file = WeightsFile("the tensors of a pack", below(prefix, held(dict(sd))), {})
        return ClipVisionModel(clip_vision_of(file))

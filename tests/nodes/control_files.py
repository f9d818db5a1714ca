"""ControlNets of transformers with random weights, small, and as files have them: by each publisher's own names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from app.diffusion.first_stage import FirstStage
from app.diffusion.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL
from app.diffusion.models.controlnet_flux import FluxControl, FluxControlConfig
from app.diffusion.models.controlnet_flux_misto import MistoControl
from app.diffusion.models.controlnet_sd3 import KINDS, SD3Control, SD3ControlConfig, SD3ImageControl
from app.diffusion.models.controlnet_sd3 import SD3ImageControlConfig as ImageConfig
from app.diffusion.models.flux import Flux, FluxConfig
from app.diffusion.models.mmdit import MMDiT, MMDiTConfig
from app.weights.diffusers_transformers import BLOCKS, ONCE

SD3 = MMDiTConfig(depth=3, width=128, context_width=16, vector_width=8, places=8)
FLUX = FluxConfig(width=128, heads=1, double=3, single=3, context_width=16, vector_width=8)
SHORT = replace(SD3, depth=2)
SHORT_IMAGE = MMDiTConfig(depth=2, width=SD3.width, vector_width=SD3.vector_width)  # of what such a file tells
SHORT_FLUX = replace(FLUX, double=2, single=1)


def random(module: Any, seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.08, generator=generator)
    return module.eval().requires_grad_(False)


def vae(channels: int = 16, levels: int = 4) -> FirstStage:
    config = AutoencoderConfig(channels, channels=32, channel_mult=(1,) * levels, num_res_blocks=1)
    return FirstStage(random(AutoencoderKL(config), 2))


def transformer(kind: str) -> Any:
    return random(Flux(FLUX) if kind == "flux" else MMDiT(SD3), 1)


def in_diffusers(kind: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A transformer's tensors in diffusers' names; the others keep theirs."""
    named: dict[str, Tensor] = {}
    for key, value in state.items():
        layer, _, last = key.rpartition(".")
        match = re.fullmatch(r"(\w+_blocks)\.(\d+)\.(.+)", layer)
        blocks = next((each for each in BLOCKS[kind] if match and each.ours == match[1]), None)
        if match is None or blocks is None:
            named[f"{ONCE[kind].get(layer, layer)}.{last}" if layer else f"pos_embed.{key}"] = value
        elif f"{match[3]}.{last}" in blocks.scales:
            named[f"{blocks.theirs}.{match[2]}.{blocks.scales[f'{match[3]}.{last}']}"] = value
        else:
            parts = blocks.layers[match[3]]
            width = value.shape[-1] if last == "weight" else len(value) // (7 if len(parts) == 4 else len(parts))
            sizes = [width] * 3 + [len(value) - 3 * width] if len(parts) == 4 else len(value) // len(parts)
            for part, tensor in zip(parts, value.split(sizes), strict=True):
                named[f"{blocks.theirs}.{match[2]}.{part}.{last}"] = tensor
    return named


def apart(state: Mapping[str, Tensor], prefix: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The transformer's tensors, and those beside it."""
    within = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return within, {key: value for key, value in state.items() if not key.startswith(prefix)}


def instantx_sd3(network: SD3Control) -> dict[str, Tensor]:
    within, beside = apart(network.state_dict(), "mmdit.")
    return in_diffusers("sd3", within) | beside


def instantx_flux(network: FluxControl) -> dict[str, Tensor]:
    within, beside = apart(network.state_dict(), "flux.")
    return in_diffusers("flux", within) | beside


STABILITY = {
    "t_embedder.mlp.0.": "time_text_embed.timestep_embedder.linear_1.",
    "t_embedder.mlp.2.": "time_text_embed.timestep_embedder.linear_2.",
    "y_embedder.mlp.0.": "time_text_embed.text_embedder.linear_1.",
    "y_embedder.mlp.2.": "time_text_embed.text_embedder.linear_2.",
}


def stability(network: SD3ImageControl) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    for key, value in network.state_dict().items():
        ours = next((each for each in STABILITY if key.startswith(each)), "")
        named[STABILITY.get(ours, "") + key.removeprefix(ours)] = value
    return named | {"control_type": torch.tensor([KINDS.index(network.config.kind)], dtype=torch.int32)}


def xlabs(network: FluxControl) -> dict[str, Tensor]:
    within, beside = apart(network.state_dict(), "flux.")
    return within | {key.replace("controlnet_x_embedder", "pos_embed_input"): v for key, v in beside.items()}


def misto(network: MistoControl) -> dict[str, Tensor]:
    renamed = (
        ("controlnet_single_blocks", "single_controlnet_blocks"),
        ("input_hint_block", "input_cond_block.encoder"),
    )
    named = xlabs(network)
    for ours, theirs in renamed:
        named = {key.replace(ours, theirs): value for key, value in named.items()}
    return named


class Sort:
    """A kind of ControlNet: the model it steers, a network, and how a file has it."""

    def __init__(self, model: str, build: Callable[[], Any], names: Callable[[Any], dict[str, Tensor]]) -> None:
        self.model, self._build, self._names = model, build, names

    @property
    def network(self) -> Any:
        """The same at each call."""
        return random(self._build(), 3)

    def tensors(self) -> dict[str, Tensor]:
        """As a file has them."""
        return {key: value.contiguous() for key, value in self._names(self.network).items()}


def picture_config(**more: Any) -> FluxControlConfig:
    return FluxControlConfig(replace(SHORT_FLUX, **more), pictures=True)


SORTS = {
    "InstantX, SD3": Sort("sd3", lambda: SD3Control(SD3ControlConfig(SHORT)), instantx_sd3),
    "Alimama, SD3": Sort("sd3", lambda: SD3Control(SD3ControlConfig(SHORT, 17)), instantx_sd3),
    "Stability, blur": Sort("sd3", lambda: SD3ImageControl(ImageConfig(SHORT_IMAGE)), stability),
    "Stability, canny": Sort("sd3", lambda: SD3ImageControl(ImageConfig(SHORT_IMAGE, "canny")), stability),
    "Stability, depth": Sort("sd3", lambda: SD3ImageControl(ImageConfig(SHORT_IMAGE, "depth")), stability),
    "InstantX, Flux": Sort("flux", lambda: FluxControl(FluxControlConfig(SHORT_FLUX)), instantx_flux),
    "XLabs, Flux": Sort("flux", lambda: FluxControl(picture_config(single=0)), xlabs),
    "MistoLine, Flux": Sort("flux", lambda: MistoControl(picture_config(double=3, single=2)), misto),
}


def saved(folder: Path, name: str, tensors: Mapping[str, Tensor]) -> str:
    """The name that a loader knows the file by."""
    path = folder / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous().clone() for key, value in tensors.items()}, path)
    return f"{name}.safetensors"

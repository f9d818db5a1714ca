"""Models by name, kept in memory, read again when their file has changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from app.context.text import TextFiles
from app.diffusion.conditioning.text_encoder import PromptEncoder
from app.diffusion.control import ControlModel
from app.diffusion.first_stage import FirstStage
from app.diffusion.guidance.hypernetworks import Hypernetwork
from app.diffusion.layout import prepare
from app.diffusion.model import DiffusionModel
from app.diffusion.models.clip_vision import ClipVision
from app.diffusion.models.gligen import Gligen
from app.diffusion.models.style import StyleModel
from app.diffusion.preview import DecodedPreview
from app.diffusion.upscaling import Upscaler
from app.diffusion.working import at_first_use, make_ready
from app.errors import AppError, InvalidRequest
from app.memory.devices import lacks_eight_bits, main_memory, weights_room
from app.memory.residency import Residency
from app.memory.sizes import size_of
from app.store.folders import PIXEL_SPACE, Folders, tiny_vaes
from app.weights.adapters.adapter import Adapter, load_adapter
from app.weights.checkpoint import Checkpoint, load_checkpoint
from app.weights.controlnet import load_control
from app.weights.gligen import load_gligen
from app.weights.hypernetworks import load_hypernetwork
from app.weights.network import EightBits
from app.weights.precision import Precision
from app.weights.separate import load_first_stage, load_folder, load_network
from app.weights.style import load_style
from app.weights.text_files import TowerFile, check_towers
from app.weights.tiny import TINY, load_tiny, pixel_space
from app.weights.upscaler import load_upscaler
from app.weights.vision import load_clip_vision

DEFAULT_BYTES = 32 << 30
# What weights may be kept in instead of the precision that is computed in, by the name that nodes have for it.
KEPT = {
    "fp8_e4m3fn": torch.float8_e4m3fn,
    "fp8_e4m3fn_fast": torch.float8_e4m3fn,
    "fp8_e5m2": torch.float8_e5m2,
}
FAST = "_fast"
SPARE = 4  # of the free memory, one part may hold second forms of weights, with which a CPU is quicker

T = TypeVar("T")
Stamp = tuple[Path, int, int]


@dataclass(frozen=True, slots=True)
class Loaders:
    """What reads each kind of file."""

    checkpoint: Callable[..., Checkpoint] = load_checkpoint
    network: Callable[[Path], DiffusionModel] = load_network
    first_stage: Callable[[Path], FirstStage] = load_first_stage
    folder: Callable[[Path], Checkpoint] = load_folder


class LoadedModels:
    """See `protocol.Models`. The least recently used ones leave once `max_bytes` are held."""

    def __init__(
        self,
        folders: Folders,
        residency: Residency,
        *,
        max_bytes: int = DEFAULT_BYTES,
        loaders: Loaders | None = None,
        precision: Precision | None = None,
        tiny_previews: bool = False,
    ):
        """With `tiny_previews` small VAEs, where there are any, show what is being drawn."""
        self._folders = folders
        self._residency = residency
        self._max_bytes = max_bytes
        self._tiny_previews = tiny_previews
        held = precision or Precision()
        self._held = held = held if held.room is not None else replace(held, room=weights_room(residency.device))
        self._texts = TextFiles(folders, held)
        self._loaders = loaders or Loaders(
            self._texts.checkpoint,
            lambda path: load_network(path, held.network, EightBits(room=held.room)),
            lambda path: load_first_stage(path, held.first_stage),
            self._texts.folder,
        )
        self._loaded: OrderedDict[tuple[str, Stamp], Any] = OrderedDict()

    def checkpoint(self, name: str, *, ema: bool = False) -> Checkpoint:
        """See `protocol.Models`."""
        if ema:
            return self.loaded(
                "checkpoints", name, lambda path: self._loaders.checkpoint(path, ema=True), "ckpt_name", variant="ema"
            )
        return self.loaded("checkpoints", name, self._loaders.checkpoint, "ckpt_name")

    def diffusion_model(self, name: str, kept: str = "default") -> DiffusionModel:
        """See `protocol.Models`."""
        if kept == "default":
            return self.loaded("diffusion_models", name, self._loaders.network, "unet_name")
        lacking = lacks_eight_bits(self._residency.device, products=kept.endswith(FAST))
        if lacking is not None:
            raise InvalidRequest(
                lacking, remedy="Choose another weight_dtype; default always works.", input_name="weight_dtype"
            )
        eight_bits = EightBits(KEPT[kept], fast=kept.endswith(FAST))
        return self.loaded(
            "diffusion_models",
            name,
            lambda path: load_network(path, self._held.network, eight_bits),
            "unet_name",
            variant=kept,
        )

    def vae(self, name: str) -> FirstStage:
        """See `protocol.Models`."""
        if name == PIXEL_SPACE:
            return pixel_space()
        files = tiny_vaes(self._folders.names("vae_approx")).get(name)
        if files is None:
            return self.loaded("vae", name, self._loaders.first_stage, "vae_name")
        encoder = self._path("vae_approx", files[0], "vae_name")
        return self.loaded(
            "vae_approx",
            files[1],
            lambda path: load_tiny(name, encoder, path, self._held.first_stage),
            "vae_name",
            variant=repr(stamp_of(encoder)),
        )

    def text_encoder(self, names: Mapping[str, str], kind: str) -> PromptEncoder:
        """See `protocol.Models`."""
        check_towers(kind, [self._told(name, each) for each, name in names.items()])
        towers = [self.loaded("text_encoders", name, self._texts.tower, each) for each, name in names.items()]
        return self._texts.encoder(kind, towers)

    def clip_vision(self, name: str, *, checkpoint: bool = False) -> ClipVision:
        """See `protocol.Models`."""
        if checkpoint:
            return self.loaded("checkpoints", name, load_clip_vision, "ckpt_name", variant="vision")
        return self.loaded("clip_vision", name, load_clip_vision, "clip_name")

    def folder(self, name: str) -> Checkpoint:
        """See `protocol.Models`."""
        return self.loaded("diffusers", name, self._loaders.folder, "model_path")

    def adapter(self, name: str) -> Adapter:
        """See `protocol.Models`."""
        return self.loaded("loras", name, load_adapter, "lora_name")

    def hypernetwork(self, name: str) -> Hypernetwork:
        """See `protocol.Models`."""
        return self.loaded("hypernetworks", name, load_hypernetwork, "hypernetwork_name")

    def style_model(self, name: str) -> StyleModel:
        """See `protocol.Models`."""
        return self.loaded("style_models", name, load_style, "style_model_name")

    def gligen(self, name: str) -> Gligen:
        """See `protocol.Models`."""
        return self.loaded("gligen", name, load_gligen, "gligen_name")

    def control(self, name: str, base: DiffusionModel | None = None) -> ControlModel:
        """See `protocol.Models`."""
        dtype = self._held.network
        if base is None:
            return self.loaded("controlnet", name, lambda path: load_control(path, dtype), "control_net_name")
        # What is made for one model is kept with it alone.
        path = self._path("controlnet", name, "control_net_name")
        with torch.inference_mode(False):
            return load_control(path, dtype, base)

    def upscaler(self, name: str) -> Upscaler:
        """See `protocol.Models`."""
        return self.loaded("upscale_models", name, load_upscaler, "model_name")

    def loaded(self, kind: str, name: str, load: Callable[[Path], T], input_name: str, *, variant: str = "") -> T:
        """What `load` makes of a file of that kind, kept and given again while the file stays as it is.

        `variant` tells apart what one file is loaded as; `input_name` is named by errors.
        """
        try:
            path = self._folders.model(kind, name)
            key = f"{kind} {variant}", stamp_of(path)
            if key not in self._loaded:
                self._keep(key, path, load)
        except AppError as error:
            error.input_name = error.input_name or input_name
            raise
        self._loaded.move_to_end(key)
        return self._loaded[key]

    def on_device(self, *modules: nn.Module, working_bytes: int = 0) -> AbstractContextManager[None]:
        """See `protocol.Models`."""
        for module in modules:
            make_ready(module)
        return self._residency.using(*modules, working_bytes=working_bytes)

    def clear(self) -> None:
        """Forget all models and empty the device."""
        self._residency.release()
        self._loaded.clear()

    def _told(self, name: str, input_name: str) -> TowerFile:
        """Which tower a file of text encoders holds."""
        try:
            return self._texts.told(self._folders.model("text_encoders", name))
        except AppError as error:
            error.input_name = error.input_name or input_name
            raise

    def _path(self, kind: str, name: str, input_name: str) -> Path:
        try:
            return self._folders.model(kind, name)
        except AppError as error:
            error.input_name = error.input_name or input_name
            raise

    def _keep(self, key: tuple[str, Stamp], path: Path, load: Callable[[Path], Any]) -> None:
        for old in [old for old in self._loaded if old[0] == key[0] and old[1][0] == path]:
            del self._loaded[old]
        with torch.inference_mode(False):  # weights stay usable for training, whoever loads them
            loaded = self._shown(load(path))
            if self._residency.device.type == "cpu":
                for network in networks_in(loaded):
                    at_first_use(network, _prepare)
        self._loaded[key] = loaded
        # What was used since it was loaded may hold more than it did then.
        while len(self._loaded) > 1 and size_of(list(self._loaded.values())) > self._max_bytes:
            self._loaded.popitem(last=False)

    def _shown(self, loaded: Any) -> Any:
        """A model, alone or in a checkpoint, with a small VAE for its previews, if one is wanted and there."""
        if not self._tiny_previews:
            return loaded
        if isinstance(loaded, Checkpoint):
            return replace(loaded, model=self._shown(loaded.model))
        if not isinstance(loaded, DiffusionModel) or isinstance(loaded.preview, DecodedPreview):
            return loaded
        there = tiny_vaes(self._folders.names("vae_approx"))
        fitting = [name for name, latent in TINY.items() if name in there and latent == loaded.latent]
        return replace(loaded, preview=DecodedPreview(self.vae(fitting[0]), loaded.latent)) if fitting else loaded


def _prepare(network: nn.Module) -> None:
    prepare(network, main_memory()[1] // SPARE)


def networks_in(loaded: object) -> list[nn.Module]:
    """The networks of a model, or of the parts of a checkpoint, that compute on pictures."""
    parts = (loaded.model, loaded.vae) if isinstance(loaded, Checkpoint) else (loaded,)
    networks = [part.network for part in parts if isinstance(part, DiffusionModel | ControlModel)]
    return [*networks, *(part.model for part in parts if isinstance(part, FirstStage))]


def stamp_of(path: Path) -> Stamp:
    """What differs when a file was replaced."""
    facts = path.stat()
    return path, facts.st_mtime_ns, facts.st_size

"""What a node's body may ask of the program, as its author sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from torch import Tensor, nn

from app.diffusion.conditioning.text_encoder import PromptEncoder
from app.diffusion.control import ControlModel
from app.diffusion.first_stage import FirstStage
from app.diffusion.guidance.hypernetworks import Hypernetwork
from app.diffusion.model import DiffusionModel
from app.diffusion.models.clip_vision import ClipVision
from app.diffusion.models.gligen import Gligen
from app.diffusion.models.style import StyleModel
from app.diffusion.upscaling import Upscaler
from app.images.decoding import Decoded
from app.weights.adapters.adapter import Adapter
from app.weights.checkpoint import Checkpoint

Picture = Tensor | Callable[[], Tensor]


class Models(Protocol):
    """Weights by name."""

    def checkpoint(self, name: str, *, ema: bool = False) -> Checkpoint:
        """The model of that name in the folder of checkpoints, kept in memory while it is in use.

        With `ema` its averaged weights, where training has left them.

        Raises:
            Missing, UnusableFile, UnknownFamily: no such file, a damaged or a foreign one.
            InvalidRequest: averaged weights that there are not.
        """
        ...

    def diffusion_model(self, name: str, kept: str = "default") -> DiffusionModel:
        """As `checkpoint`, a network alone from the folder of diffusion models.

        `kept` is how its weights are kept: default, fp8_e4m3fn, fp8_e4m3fn_fast or fp8_e5m2.

        Raises:
            InvalidRequest: 8 bits on a device that cannot compute with them so.
        """
        ...

    def vae(self, name: str) -> FirstStage:
        """As `checkpoint`, a VAE alone from the folder of VAEs."""
        ...

    def text_encoder(self, names: Mapping[str, str], kind: str) -> PromptEncoder:
        """Text towers from the folder of text encoders, one a file, as the encoder of a kind of model.

        `names` are by the input that errors name; `kind` is stable_diffusion, sdxl, sd3 or flux.

        Raises:
            Missing: no such file, or no vocabulary for T5.
            UnusableFile, UnknownFamily: a damaged file or one without a text tower.
            InvalidRequest: towers that do not make an encoder of that kind.
        """
        ...

    def clip_vision(self, name: str, *, checkpoint: bool = False) -> ClipVision:
        """As `checkpoint`, a vision tower from the folder of vision encoders, or within a checkpoint."""
        ...

    def folder(self, name: str) -> Checkpoint:
        """As `checkpoint`, a folder of parts in diffusers' form."""
        ...

    def adapter(self, name: str) -> Adapter:
        """A LoRA or another adapter from the folder of LoRAs.

        Raises:
            Missing, UnusableFile, UnknownFamily: no such file, a damaged or a foreign one.
        """
        ...

    def control(self, name: str, base: DiffusionModel | None = None) -> ControlModel:
        """A ControlNet or T2I-Adapter from the folder of ControlNets; `base` is what a file of differences is added to.

        Raises:
            Missing, UnusableFile, UnknownFamily: no such file, a damaged or a foreign one.
            InvalidRequest: a file of differences without a model, or with one of another family.
        """
        ...

    def hypernetwork(self, name: str) -> Hypernetwork:
        """As `adapter`, from the folder of hypernetworks."""
        ...

    def style_model(self, name: str) -> StyleModel:
        """As `checkpoint`, from the folder of style models."""
        ...

    def upscaler(self, name: str) -> Upscaler:
        """A network that draws pictures larger, from the folder of upscalers.

        Raises:
            Missing, UnusableFile, UnknownFamily: no such file, a damaged or a foreign one.
        """
        ...

    def gligen(self, name: str) -> Gligen:
        """As `checkpoint`, from the folder of GLIGEN's layers."""
        ...

    def on_device(self, *modules: nn.Module, working_bytes: int = 0) -> AbstractContextManager[None]:
        """The modules' weights are where they are computed inside. Raises OutOfMemory."""
        ...


class Files(Protocol):
    """Pictures in and out."""

    def path(self, name: str, default: Literal["input", "output"] = "input") -> Path:
        """Where a file is; `name` as its widget has it ("sub/a.png", "a.png [output]"). Raises Missing.

        `default` is the folder of names that say none.
        """
        ...

    def folder(self, name: str) -> Path:
        """Where a folder in the input folder is. Raises Missing, Forbidden."""
        ...

    def load_image(self, name: str, default: Literal["input", "output"] = "input") -> Decoded:
        """A picture; see `path`. Raises Missing, TooLarge, UnusableFile."""
        ...

    def save_images(
        self,
        images: Tensor,
        prefix: str,
        *,
        kind: Literal["output", "temp"] = "output",
        format: str = "png",
        quality: int = 90,
        prompt: Any = None,
        extra: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Write images (B, H, W, C) and give the entries for the node's ui.

        `prefix` may hold folders, %date% words and %batch_num%; `prompt` and `extra` are written into the files.
        Raises Forbidden for a prefix that leaves the folder.
        """
        ...

    def save_animation(
        self,
        images: Tensor,
        prefix: str,
        format: Literal["png", "webp"],
        fps: float,
        *,
        prompt: Any = None,
        extra: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> list[dict[str, Any]]:
        """Write images (B, H, W, C) as one file that moves; see `save_images`.

        `options` are those of `images.encoding.encode_animation`.
        """
        ...

    def save_model(
        self,
        prefix: str,
        *,
        model: DiffusionModel | None = None,
        clip: PromptEncoder | None = None,
        vae: FirstStage | None = None,
        prompt: Any = None,
        extra: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Write a model, a VAE, a text encoder or a whole checkpoint, and give the entries for the node's ui.

        A text encoder alone becomes a file for each of its towers. See `save_images`.

        Raises InvalidRequest for a model of whose shape nothing is known.
        """
        ...

    def save_adapter(self, tensors: Mapping[str, Tensor], prefix: str) -> list[dict[str, Any]]:
        """Write a LoRA's tensors by the names that files have, and give the entries for the node's ui."""
        ...

    def save_latent(
        self, samples: Tensor, prefix: str, *, prompt: Any = None, extra: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Write latents (B, C, h, w), and give the entries for the node's ui; see `save_images`."""
        ...

    def save_difference(
        self,
        prefix: str,
        *,
        model: DiffusionModel | None = None,
        clip: PromptEncoder | None = None,
        rank: int | None = 8,
        biases: bool = True,
        prompt: Any = None,
        extra: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Write differences of weights as a LoRA of that rank, or without one in full; see `save_images`.

        Raises InvalidRequest where nothing differs.
        """
        ...


class Context(Protocol):
    """What the body gets that has a parameter of this type."""

    is_node_context: ClassVar[bool] = True
    node_id: str
    models: Models
    files: Files

    def progress(self, done: float, total: float, preview: Picture | None = None) -> None:
        """Say how far the work is, perhaps with a picture (H, W, 3) in 0..1, or a function that makes one.

        The function is called only when a picture is due. Raises Cancelled as `check_cancelled` does.
        """
        ...

    def check_cancelled(self) -> None:
        """Raise Cancelled if somebody asked for the run to stop; let it pass."""
        ...

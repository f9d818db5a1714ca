"""Pictures that nodes read, and those that they leave for publishing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from app.diffusion.conditioning.text_encoder import PromptEncoder
from app.diffusion.first_stage import FirstStage
from app.diffusion.latent_files import write_latent
from app.diffusion.model import DiffusionModel
from app.errors import InvalidRequest, Missing
from app.images.decoding import Decoded, decode
from app.images.encoding import EXTENSIONS, encode, encode_animation, metadata_texts
from app.store.folders import Folders
from app.store.names import inside
from app.store.outputs import OutputFolders
from app.weights.adapters.writing import save_difference
from app.weights.saving import file_name, save_first_stage, save_model, save_parts, save_tower, write

PREVIEW_LEVEL, OUTPUT_LEVEL = 1, 4  # PNG compression: previews are thrown away soon


class NodeFiles:
    """See `protocol.Files`. What is saved is staged; whoever listens to the run gives it its lasting name.

    Without `metadata` no file tells the graph that made it.
    """

    def __init__(self, folders: Folders, outputs: OutputFolders, *, metadata: bool = True):
        self._folders = folders
        self._outputs = outputs
        self._metadata = metadata

    def path(self, name: str, default: Literal["input", "output"] = "input") -> Path:
        """See `protocol.Files`."""
        path = self._folders.annotated(name, default)
        if not name or not path.is_file():
            raise Missing(
                f"There is no {default} file {name!r}.",
                remedy="Upload it again, or choose another one.",
                input_name="image",
            )
        return path

    def folder(self, name: str) -> Path:
        """See `protocol.Files`."""
        path = inside(self._folders.input, name)
        if not name or not path.is_dir():
            raise Missing(
                f"There is no folder {name!r} in the input folder.",
                remedy="Put it there, or choose another one.",
                input_name="folder",
            )
        return path

    def load_image(self, name: str, default: Literal["input", "output"] = "input") -> Decoded:
        """See `protocol.Files`."""
        return decode(self.path(name, default), name)

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
        """See `protocol.Files`."""
        if images.ndim != 4:
            raise InvalidRequest(
                f"A tensor of shape {list(images.shape)} holds no images.", remedy="Link something that gives an IMAGE."
            )
        self._outputs.check_prefix(prefix)
        texts = self._texts(prompt, extra)
        level = PREVIEW_LEVEL if kind == "temp" else OUTPUT_LEVEL
        entries: list[dict[str, Any]] = []
        for number, image in enumerate(images):
            content = encode(image, format, texts, quality=quality, compress_level=level)
            entries.append(
                {
                    "staged": self._outputs.stage(content, EXTENSIONS[format]),
                    "prefix": prefix.replace("%batch_num%", str(number)),
                    "type": kind,
                    "format": format,
                    "width": image.shape[1],
                    "height": image.shape[0],
                }
            )
        return entries

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
        """See `protocol.Files`."""
        self._outputs.check_prefix(prefix)
        content = encode_animation(images, format, fps, self._texts(prompt, extra), **options)
        size = {"width": images.shape[2], "height": images.shape[1]}
        staged = self._outputs.stage(content, EXTENSIONS[format])
        return [{"staged": staged, "prefix": prefix, "type": "output", "format": format, **size}]

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
        """See `protocol.Files`."""
        self._outputs.check_prefix(prefix)
        texts = self._texts(prompt, extra)
        if clip is not None and model is None:
            return [
                self._staged(f"{prefix}_{file_name(name)}", lambda path, tower=tower: save_tower(path, tower, texts))
                for name, tower in clip.towers.items()
            ]

        def write(path: Path) -> None:
            if model is not None and clip is not None and vae is not None:
                save_parts(path, model, clip, vae, texts)
            elif model is not None:
                save_model(path, model, texts)
            elif vae is not None:
                save_first_stage(path, vae, texts)

        return [self._staged(prefix, write)]

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
        """See `protocol.Files`."""
        self._outputs.check_prefix(prefix)
        texts = self._texts(prompt, extra)
        return [
            self._staged(prefix, lambda path: save_difference(path, model, clip, texts, rank=rank, biases=biases)),
        ]

    def _staged(self, prefix: str, write: Callable[[Path], None]) -> dict[str, Any]:
        staged = self._outputs.stage_with(write, ".safetensors")
        return {"staged": staged, "prefix": prefix, "type": "output", "format": "safetensors"}

    def save_adapter(self, tensors: Mapping[str, Tensor], prefix: str) -> list[dict[str, Any]]:
        """See `protocol.Files`."""
        self._outputs.check_prefix(prefix)
        if not tensors:
            raise InvalidRequest("This LoRA holds nothing.", remedy="Link what Train LoRA gives.", input_name="lora")
        return [self._staged(prefix, lambda path: write(path, tensors, {}))]

    def save_latent(
        self, samples: Tensor, prefix: str, *, prompt: Any = None, extra: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """See `protocol.Files`."""
        self._outputs.check_prefix(prefix)
        texts = self._texts(prompt, extra)
        staged = self._outputs.stage_with(lambda path: write_latent(path, samples, texts), ".latent")
        return [{"staged": staged, "prefix": prefix, "type": "output", "format": "latent"}]

    def _texts(self, prompt: Any, extra: Mapping[str, Any] | None) -> dict[str, str]:
        return metadata_texts(prompt, extra) if self._metadata else {}

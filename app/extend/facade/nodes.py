"""`nodes`: the built-in nodes as classes that packs call and extend, and the registry of all classes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from app.extend.facade import folder_paths
from app.extend.facade.comfy import sample as sampling
from app.extend.facade.comfy import utils
from app.extend.facade.comfy.model_management import interrupt_current_processing
from app.extend.facade.comfy.sd import load_lora_for_models
from app.extend.facade.host import HOST
from app.extend.facade.latent_preview import prepare_callback
from app.extend.facade.native_classes import class_of
from app.images.encoding import encode, metadata_texts

# Where the package of this name is, for whoever loads built-in nodes once more in the same process.
__path__ = [str(Path(__file__).parents[3] / "nodes")]
MAX_RESOLUTION = 16384


def __getattr__(name: str) -> Any:
    """Classes by name, and the registries of this installation."""
    if name.startswith("__"):
        raise AttributeError(name)
    if name == "NODE_CLASS_MAPPINGS":
        return _registry()
    host = HOST.now
    if name == "NODE_DISPLAY_NAME_MAPPINGS":
        host.titles.update({n: node.spec.display_name for n, node in host.nodes.items() if n not in host.titles})
        return host.titles
    if name in ("EXTENSION_WEB_DIRS", "LOADED_MODULE_DIRS"):
        return host.attributes.setdefault(name, {})
    registry = _registry()
    if name in registry:
        return registry[name]
    raise AttributeError(f"module 'nodes' has no attribute {name!r}")


def _registry() -> dict[str, Any]:
    """All classes: those of packs as they are, built-in nodes as classes made from them."""
    host = HOST.now
    for name, made in OWN.items():
        host.classes.setdefault(name, made)
    for name, node in host.nodes.items():
        if name not in host.classes:
            host.classes[name] = class_of(name, node)
    return host.classes


def before_node_execution() -> None:
    """Raise if the run is to stop."""
    from app.extend.facade.comfy.model_management import throw_exception_if_processing_interrupted

    throw_exception_if_processing_interrupted()


def interrupt_processing(value: bool = True) -> None:
    """Ask the run to stop."""
    interrupt_current_processing(value)


def common_ksampler(
    model: Any,
    seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    positive: Any,
    negative: Any,
    latent: Mapping[str, Any],
    denoise: float = 1.0,
    disable_noise: bool = False,
    start_step: int | None = None,
    last_step: int | None = None,
    force_full_denoise: bool = False,
) -> tuple[dict[str, Any]]:
    """A LATENT from a LATENT, as the sampler nodes make it."""
    samples: Tensor = sampling.fix_empty_latent_channels(model, latent["samples"])
    if disable_noise:
        noise = samples.new_zeros(samples.shape, device="cpu")
    else:
        noise = sampling.prepare_noise(samples, seed, latent.get("batch_index"))
    result = sampling.sample(
        model,
        noise,
        steps,
        cfg,
        sampler_name,
        scheduler,
        positive,
        negative,
        samples,
        denoise=denoise,
        disable_noise=disable_noise,
        start_step=start_step,
        last_step=last_step,
        force_full_denoise=force_full_denoise,
        noise_mask=latent.get("noise_mask"),
        callback=prepare_callback(model, steps),
        seed=seed,
    )
    return ({**latent, "samples": result},)


class SaveImage:
    """Saves images as PNG in the output folder, with the workflow inside. Packs extend it."""

    RETURN_TYPES = ()
    FUNCTION = "save_images"
    OUTPUT_NODE = True
    CATEGORY = "image"
    DESCRIPTION = "Saves images in the output folder."

    def __init__(self) -> None:
        self.output_dir = folder_paths.get_output_directory()
        self.type = "output"
        self.prefix_append = ""
        self.compress_level = 4

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """See the reference's interface."""
        return {
            "required": {"images": ("IMAGE",), "filename_prefix": ("STRING", {"default": "LatentLoom"})},
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    def save_images(
        self,
        images: Tensor,
        filename_prefix: str = "LatentLoom",
        prompt: Any = None,
        extra_pnginfo: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Write the images; gives {"ui": {"images": [{filename, subfolder, type}, …]}}."""
        prefix = filename_prefix + self.prefix_append
        place = folder_paths.get_save_image_path(prefix, self.output_dir, images[0].shape[1], images[0].shape[0])
        folder, filename, counter, subfolder, _ = place
        texts = metadata_texts(prompt, extra_pnginfo)
        entries: list[dict[str, str]] = []
        for number, image in enumerate(images):
            name = f"{filename.replace('%batch_num%', str(number))}_{counter + number:05}_.png"
            with open(os.path.join(folder, name), "xb") as file:
                file.write(encode(image, "png", texts, compress_level=self.compress_level))
            entries.append({"filename": name, "subfolder": subfolder, "type": self.type})
        return {"ui": {"images": entries}}


class PreviewImage(SaveImage):
    """Shows images without keeping them."""

    DESCRIPTION = "Shows images without keeping them."

    def __init__(self) -> None:
        import uuid

        self.output_dir = folder_paths.get_temp_directory()
        self.type = "temp"
        self.prefix_append = f"_temp_{uuid.uuid4().hex[:5]}"
        self.compress_level = 1

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """See the reference's interface."""
        return {"required": {"images": ("IMAGE",)}, "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}}


class LoraLoader:
    """Changes a model and its text encoder by a file of low-rank changes."""

    CATEGORY = "loaders"
    FUNCTION = "load_lora"
    RETURN_TYPES = ("MODEL", "CLIP")
    DESCRIPTION = "Changes the style of a model and its text encoder by a small file."
    SEARCH_ALIASES: ClassVar[list[str]] = ["lora", "style", "lycoris"]

    def __init__(self) -> None:
        self.loaded_lora: tuple[str, Any] | None = None

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """See the reference's interface."""
        strength = ("FLOAT", {"default": 1.0, "min": -100.0, "max": 100.0, "step": 0.01})
        return {
            "required": {
                "model": ("MODEL", {"tooltip": "The model that is changed."}),
                "clip": ("CLIP", {"tooltip": "The text encoder that is changed."}),
                "lora_name": (folder_paths.get_filename_list("loras"), {"tooltip": "The file, from models/loras."}),
                "strength_model": (*strength[:1], {**strength[1], "tooltip": "How strongly the model is changed."}),
                "strength_clip": (*strength[:1], {**strength[1], "tooltip": "How strongly the encoder is changed."}),
            }
        }

    def load_lora(
        self, model: Any, clip: Any, lora_name: str, strength_model: float, strength_clip: float
    ) -> tuple[Any, Any]:
        """(model, clip) with the changes."""
        if strength_model == 0 and strength_clip == 0:
            return model, clip
        path = folder_paths.get_full_path_or_raise("loras", lora_name)
        if self.loaded_lora is None or self.loaded_lora[0] != path:
            self.loaded_lora = (path, utils.load_torch_file(path, safe_load=True))
        return load_lora_for_models(model, clip, self.loaded_lora[1], strength_model, strength_clip)


class LoraLoaderModelOnly(LoraLoader):
    """Changes a model alone."""

    RETURN_TYPES = ("MODEL",)
    FUNCTION = "load_lora_model_only"
    DESCRIPTION = "Changes the style of a model by a small file; the text encoder stays."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """See the reference's interface."""
        required: dict[str, Any] = super().INPUT_TYPES()["required"]
        return {"required": {n: v for n, v in required.items() if n not in ("clip", "strength_clip")}}

    def load_lora_model_only(self, model: Any, lora_name: str, strength_model: float) -> tuple[Any]:
        """The model with the changes."""
        return (self.load_lora(model, None, lora_name, strength_model, 0)[0],)


OWN: Mapping[str, type[Any]] = {
    "SaveImage": SaveImage,
    "PreviewImage": PreviewImage,
    "LoraLoader": LoraLoader,
    "LoraLoaderModelOnly": LoraLoaderModelOnly,
}

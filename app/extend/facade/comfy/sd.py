"""`comfy.sd`: first stages, text encoders and checkpoints as packs hold them."""

from __future__ import annotations

import logging
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from app.context.text import TextFiles
from app.diffusion.adapters.twin import settle
from app.diffusion.conditioning.entries import conditioning_of
from app.diffusion.conditioning.prompt import Chunk
from app.diffusion.first_stage import FirstStage
from app.diffusion.tiles import decode_within_memory
from app.diffusion.working import make_ready
from app.errors import InvalidRequest, UnknownFamily
from app.extend.facade.comfy import clip_vision
from app.extend.facade.comfy import lora as loras
from app.extend.facade.comfy.model_base import swapped
from app.extend.facade.comfy.model_patcher import ModelPatcher, patcher_of
from app.extend.facade.comfy.tensor_files import save_torch_file
from app.extend.facade.host import HOST
from app.weights.checkpoint import load_checkpoint as read_checkpoint
from app.weights.separate import load_first_stage, load_network
from app.weights.text_files import check_towers

log = logging.getLogger(__name__)


class CLIPType(Enum):
    """For which family a text encoder is loaded."""

    STABLE_DIFFUSION = 1
    STABLE_CASCADE = 2
    SD3 = 3
    STABLE_AUDIO = 4
    HUNYUAN_DIT = 5
    FLUX = 6
    MOCHI = 7
    LTXV = 8
    HUNYUAN_VIDEO = 9
    PIXART = 10
    COSMOS = 11
    LUMINA2 = 12
    WAN = 13
    HIDREAM = 14
    CHROMA = 15
    ACE = 16
    OMNIGEN2 = 17
    QWEN_IMAGE = 18
    HUNYUAN_IMAGE = 19


class VAE:
    """A first stage. Images are (B, H, W, 3) in 0..1, latents (B, C, h, w), not scaled for a model."""

    def __init__(
        self,
        sd: Mapping[str, Tensor] | None = None,
        device: Any = None,
        config: Any = None,
        dtype: torch.dtype | None = None,
        metadata: Any = None,
        *,
        native: FirstStage | None = None,
    ) -> None:
        self.native = native if native is not None else _first_stage(sd or {})
        make_ready(self.native.model)  # packs look at weights and their precision themselves
        self.first_stage_model: nn.Module = self.native.model
        self.device = device or HOST.now.device
        self.offload_device = self.output_device = torch.device("cpu")
        self.vae_dtype = next(self.first_stage_model.parameters()).dtype
        self.latent_channels = self.native.channels
        self.latent_dim = 2
        self.output_channels = 3
        self.downscale_ratio = self.upscale_ratio = self.native.factor
        self.not_video = True
        self.extra_1d_channel = None
        self.patcher = ModelPatcher(self.first_stage_model)

    def process_input(self, image: Tensor) -> Tensor:
        """0..1 → −1..1."""
        return image * 2.0 - 1.0

    def process_output(self, image: Tensor) -> Tensor:
        """−1..1 → 0..1."""
        return ((image + 1.0) / 2.0).clamp(0.0, 1.0)

    def memory_used_decode(self, shape: Any, dtype: torch.dtype) -> float:
        """Bytes that decoding such a latent takes, roughly."""
        return 2178.0 * shape[-2] * shape[-1] * self.downscale_ratio**2 * dtype.itemsize

    def memory_used_encode(self, shape: Any, dtype: torch.dtype) -> float:
        """Bytes that encoding such an image takes, roughly."""
        return 1767.0 * shape[-2] * shape[-1] * dtype.itemsize

    def throw_exception_if_invalid(self) -> None:
        """There is a first stage, or there would be no such object."""

    def decode(self, samples_in: Tensor, vae_options: Any = None) -> Tensor:
        """Latents to images; in tiles where the memory does not suffice."""
        with HOST.now.residency.using(self.first_stage_model):
            return decode_within_memory(self.native, samples_in.to(self._at)).cpu()

    def decode_tiled(
        self,
        samples: Tensor,
        tile_x: int | None = None,
        tile_y: int | None = None,
        overlap: int | None = None,
        tile_t: int | None = None,
        overlap_t: int | None = None,
    ) -> Tensor:
        """Latents to images, in pieces of so many latent pixels; they join without any overlap."""
        with HOST.now.residency.using(self.first_stage_model):
            side = (tile_x or tile_y or 64) * self.native.factor
            return self.native.decode(samples.to(self._at), side).cpu()

    def encode(self, pixel_samples: Tensor) -> Tensor:
        """Images to latents."""
        with HOST.now.residency.using(self.first_stage_model):
            return self.native.encode(pixel_samples.to(self._at)).cpu()

    def encode_tiled(
        self,
        pixel_samples: Tensor,
        tile_x: int | None = None,
        tile_y: int | None = None,
        overlap: int | None = None,
        tile_t: int | None = None,
        overlap_t: int | None = None,
    ) -> Tensor:
        """Images to latents, in pieces of so many pixels; they join without any overlap."""
        with HOST.now.residency.using(self.first_stage_model):
            return self.native.encode(pixel_samples.to(self._at), tile_x or tile_y or 512).cpu()

    @property
    def _at(self) -> torch.device:
        return next(self.first_stage_model.parameters()).device

    def vae_encode_crop_pixels(self, pixels: Tensor) -> Tensor:
        """The middle part whose sides are multiples of the factor."""
        factor = self.downscale_ratio
        for axis in range(1, pixels.ndim - 1):
            length = pixels.shape[axis] // factor * factor
            pixels = pixels.narrow(axis, (pixels.shape[axis] - length) // 2, length)
        return pixels

    def spacial_compression_decode(self) -> int:
        """Pixels per latent pixel."""
        return self.upscale_ratio

    def spacial_compression_encode(self) -> int:
        """Pixels per latent pixel."""
        return self.downscale_ratio

    def temporal_compression_decode(self) -> int | None:
        """Frames per latent frame: None for pictures."""
        return None

    def get_sd(self) -> dict[str, Tensor]:
        """The weights by name."""
        return self.first_stage_model.state_dict()


def _first_stage(sd: Mapping[str, Tensor]) -> FirstStage:
    """The first stage that tensors make, by way of a file: that is what is recognised and checked."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vae.safetensors")
        save_torch_file(sd, str(path))
        return load_first_stage(path)


class Tokens(dict[str, list[list[tuple[Any, ...]]]]):
    """Tokens by tower, as (token, weight) in chunks. `chunks` is where they came from."""

    chunks: Mapping[str, list[Chunk]]


class CLIP:
    """A text encoder."""

    def __init__(self, *, native: Any, patcher: ModelPatcher | None = None) -> None:
        self.native = native
        self.cond_stage_model: nn.Module = native.model
        settle(self.cond_stage_model)
        self.patcher = patcher or ModelPatcher(self.cond_stage_model)
        self.layer_idx: int | None = None
        self.use_clip_schedule = False
        self.apply_hooks_to_conds: Any = None
        self.tokenizer_options: dict[str, Any] = {}

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the first tower."""
        return getattr(self.native, "tokenizer", None)

    def clone(self) -> CLIP:
        """A copy whose changes are its own."""
        made = CLIP(native=self.native, patcher=self.patcher.clone())
        made.layer_idx = self.layer_idx
        made.tokenizer_options = dict(self.tokenizer_options)
        return made

    def clip_layer(self, layer_idx: int) -> None:
        """Stop at a layer counted from the last, −1."""
        self.layer_idx = layer_idx
        self.native = self.native.with_layer(layer_idx)

    def set_tokenizer_option(self, option_name: str, value: Any) -> None:
        """Remember an option."""
        self.tokenizer_options[option_name] = value

    def add_patches(
        self, patches: Mapping[Any, Any], strength_patch: float = 1.0, strength_model: float = 1.0
    ) -> list[Any]:
        """See `ModelPatcher.add_patches`."""
        return self.patcher.add_patches(patches, strength_patch, strength_model)

    def get_key_patches(self) -> dict[str, list[Any]]:
        """See `ModelPatcher.get_key_patches`."""
        return self.patcher.get_key_patches()

    def load_model(self) -> ModelPatcher:
        """The weights are on the device from here on."""
        with HOST.now.residency.using(self.cond_stage_model):
            return self.patcher

    def get_sd(self) -> dict[str, Tensor]:
        """The weights by name."""
        return self.cond_stage_model.state_dict()

    def tokenize(self, text: str, return_word_ids: bool = False, **_: Any) -> Tokens:
        """A prompt's tokens for each tower, with their weights, and the number of their word if asked."""
        chunks = dict(self.native.chunks_of(text))
        tokens = Tokens()
        tokens.chunks = chunks
        for name, parts in chunks.items():
            tokens[name] = [
                [
                    (t, w, i) if return_word_ids else (t, w)
                    for i, (t, w) in enumerate(zip(c.tokens, c.weights, strict=True))
                ]
                for c in parts
            ]
        return tokens

    def encode_from_tokens(
        self, tokens: Mapping[str, Any], return_pooled: Any = False, return_dict: bool = False
    ) -> Any:
        """Features (1, T, C), with the pooled ones (1, C) if asked; as a dict if asked."""
        encoded = self._encoded(tokens)
        if return_dict:
            return {"cond": encoded.context.cpu(), "pooled_output": encoded.pooled.cpu()}
        return (encoded.context.cpu(), encoded.pooled.cpu()) if return_pooled else encoded.context.cpu()

    def encode_from_tokens_scheduled(
        self,
        tokens: Mapping[str, Any],
        unprojected: bool = False,
        add_dict: Mapping[str, Any] | None = None,
        show_pbar: bool = True,
    ) -> list[list[Any]]:
        """Conditioning, with further options."""
        return [[features, {**said, **(add_dict or {})}] for features, said in conditioning_of(self._encoded(tokens))]

    def encode(self, text: str) -> Tensor:
        """A prompt's features."""
        return self.encode_from_tokens(self.tokenize(text))

    def _encoded(self, tokens: Mapping[str, Any]) -> Any:
        chunks = {name: self._chunks(tokens, name) for name in tokens}
        with HOST.now.residency.using(self.cond_stage_model), swapped(self.cond_stage_model, self._weights()):
            return self.native.encode_chunks(chunks)

    def _weights(self) -> dict[str, Tensor]:
        return self.patcher.patched_weights() if self.patcher.patches else {}

    def _chunks(self, tokens: Mapping[str, Any], name: str) -> list[Chunk]:
        """Tokens as the towers take them; a pack may have changed them, and whatever it put in for numbers."""
        known = getattr(tokens, "chunks", {}).get(name, ())
        made: list[Chunk] = []
        for index, chunk in enumerate(tokens[name]):
            before: Chunk | None = known[index] if index < len(known) else None
            ids = [entry[0] for entry in chunk]
            vectors = tuple((place, each) for place, each in enumerate(ids) if isinstance(each, Tensor))
            plain = tuple(0 if isinstance(each, Tensor) else int(each) for each in ids)
            weights = tuple(float(entry[1]) for entry in chunk)
            if before is not None and before.tokens == plain:
                made.append(replace(before, weights=weights))
            else:
                made.append(
                    Chunk(plain, weights, self._end(plain, before), vectors or (before.vectors if before else ()))
                )
        return made

    def _end(self, tokens: tuple[int, ...], before: Chunk | None) -> int:
        end = before.tokens[before.end] if before is not None and before.end < len(before.tokens) else None
        return tokens.index(end) if end in tokens else len(tokens) - 1


class PatchedEncoder:
    """A text encoder with a pack's changes of weights, for our own nodes."""

    def __init__(self, clip: CLIP) -> None:
        self.clip = clip
        self.native = clip.native

    def __getattr__(self, name: str) -> Any:
        return getattr(self.native, name)

    def encode(self, prompt: str) -> Any:
        """Features of a prompt."""
        return self._with_weights(lambda: self.native.encode(prompt))

    def encode_each(self, prompts: Mapping[str, str]) -> Any:
        """Features of one prompt per tower."""
        return self._with_weights(lambda: self.native.encode_each(prompts))

    def encode_chunks(self, chunks: Mapping[str, Any]) -> Any:
        """Features of tokens."""
        return self._with_weights(lambda: self.native.encode_chunks(chunks))

    def with_layer(self, layer: int) -> PatchedEncoder:
        """The same, stopping at a layer."""
        clip = self.clip.clone()
        clip.clip_layer(layer)
        return PatchedEncoder(clip)

    def with_towers(self, towers: Mapping[str, Any]) -> PatchedEncoder:
        """The same with other towers, changed alike."""
        native = self.native.with_towers(towers)
        patcher = self.clip.patcher.clone()
        patcher.model, patcher.patches_uuid = native.model, uuid.uuid4()
        return PatchedEncoder(CLIP(native=native, patcher=patcher))

    def _with_weights(self, work: Any) -> Any:
        with swapped(self.clip.cond_stage_model, self.clip.patcher.patched_weights()):
            return work()


# What packs call a kind of text encoder, and what we do, by the number of its towers where that tells.
_KINDS = {CLIPType.SD3: "sd3", CLIPType.FLUX: "flux", CLIPType.STABLE_DIFFUSION: "stable_diffusion"}


def load_clip(
    ckpt_paths: Sequence[str],
    embedding_directory: Any = None,
    clip_type: CLIPType = CLIPType.STABLE_DIFFUSION,
    model_options: Any = None,
) -> CLIP:
    """The text encoder in files, one for each tower.

    Raises:
        Missing, UnusableFile: no file, a damaged one, or no vocabulary for T5.
        InvalidRequest: towers that do not make an encoder of that kind, or a kind that is none of ours.
    """
    kind = "sdxl" if len(ckpt_paths) == 2 and clip_type not in (CLIPType.SD3, CLIPType.FLUX) else _KINDS.get(clip_type)
    if kind is None:
        raise InvalidRequest(
            f"Text encoders for {clip_type.name} are not among those that are known.",
            remedy=f"Known are those for {', '.join(each.name for each in _KINDS)} and SDXL.",
        )
    texts = TextFiles(HOST.now.folders)
    paths = [Path(path) for path in ckpt_paths]
    check_towers(kind, [texts.told(path) for path in paths])
    with torch.inference_mode(False):
        return CLIP(native=texts.encoder(kind, [texts.tower(path) for path in paths]))


def load_lora_for_models(
    model: Any, clip: Any, lora: Mapping[str, Tensor], strength_model: float, strength_clip: float
) -> tuple[Any, Any]:
    """(model, clip) with the changes of a file; either may be None."""
    names: dict[str, Any] = {}
    if model is not None:
        names = loras.model_lora_keys_unet(model.model, names)
    if clip is not None:
        names = loras.model_lora_keys_clip(clip.cond_stage_model, names)
    loaded = loras.load_lora(lora, names)
    if not loaded:
        raise InvalidRequest(
            "The LoRA fits neither the model nor the text encoder: none of its names is known here.",
            remedy="Choose a LoRA that was made for this model's family.",
        )
    taken: set[Any] = set()
    if model is not None:
        model = model.clone()
        taken.update(model.add_patches(loaded, strength_model))
    if clip is not None:
        clip = clip.clone()
        taken.update(clip.add_patches(loaded, strength_clip))
    for key in loaded:
        if key not in taken:
            log.warning("the LoRA changes %s, which is not here", key)
    return model, clip


def load_checkpoint_guess_config(
    ckpt_path: str,
    output_vae: bool = True,
    output_clip: bool = True,
    output_clipvision: bool = False,
    embedding_directory: Any = None,
    output_model: bool = True,
    model_options: Any = None,
    te_model_options: Any = None,
) -> tuple[Any, Any, Any, Any]:
    """(model, clip, vae, clip vision) of a file; what is not asked for, or not in it, is None.

    Raises:
        UnusableFile, UnknownFamily: a damaged file, or one of no known architecture.
    """
    with torch.inference_mode(False):
        read: Any = read_checkpoint(Path(ckpt_path))
    model = patcher_of(read.model) if output_model and read.model is not None else None
    clip = CLIP(native=read.clip) if output_clip and read.clip is not None else None
    vae = VAE(native=read.vae) if output_vae and read.vae is not None else None
    vision = _vision(ckpt_path) if output_clipvision else None
    return model, clip, vae, vision


def _vision(ckpt_path: str) -> Any:
    try:
        return clip_vision.load(ckpt_path)
    except UnknownFamily:
        return None


def load_checkpoint(config_path: Any = None, ckpt_path: Any = None, **options: Any) -> tuple[Any, Any, Any]:
    """(model, clip, vae) of a file. A configuration beside it is not needed."""
    return load_checkpoint_guess_config(
        str(ckpt_path), **{k: v for k, v in options.items() if k in ("output_vae", "output_clip")}
    )[:3]


def load_diffusion_model(unet_path: str, model_options: Any = None) -> Any:
    """The model in a file that holds a network alone.

    Raises:
        UnusableFile, UnknownFamily: a damaged file, or one of no known architecture.
    """
    with torch.inference_mode(False):
        return patcher_of(load_network(Path(unet_path)))


def load_unet(unet_path: str, dtype: Any = None) -> Any:
    """As `load_diffusion_model`."""
    return load_diffusion_model(unet_path)

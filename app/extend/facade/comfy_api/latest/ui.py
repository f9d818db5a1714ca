"""`comfy_api.latest.ui`: what nodes show."""

from __future__ import annotations

import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from app.errors import InvalidRequest
from app.images.encoding import encode_animation, metadata_texts


class SavedResult(dict[str, str]):
    """A file that was saved."""

    def __init__(self, filename: str, subfolder: str, type: Any) -> None:
        super().__init__(filename=filename, subfolder=subfolder, type=str(getattr(type, "value", type)))

    @property
    def filename(self) -> str:
        """Its name."""
        return self["filename"]

    @property
    def subfolder(self) -> str:
        """Its folder below the directory."""
        return self["subfolder"]

    @property
    def type(self) -> str:
        """Its directory."""
        return self["type"]


class _Shown:
    """Something that is shown; `as_dict` is what clients get."""

    def as_dict(self) -> dict[str, Any]:
        """Lists by key."""
        return {}


class SavedImages(_Shown):
    """Pictures that were saved."""

    def __init__(self, results: Sequence[SavedResult], is_animated: bool = False) -> None:
        self.results, self.is_animated = list(results), is_animated

    def as_dict(self) -> dict[str, Any]:
        """See `_Shown`."""
        return {"images": self.results, **({"animated": (True,)} if self.is_animated else {})}


class SavedAudios(_Shown):
    """Sounds that were saved."""

    def __init__(self, results: Sequence[SavedResult]) -> None:
        self.results = list(results)

    def as_dict(self) -> dict[str, Any]:
        """See `_Shown`."""
        return {"audio": self.results}


class PreviewAudio(SavedAudios):
    """A sound, {waveform (B, channels, samples) in −1..1, sample_rate}, saved in the temp directory."""

    def __init__(self, audio: Mapping[str, Any], cls: Any = None, **_: Any) -> None:
        super().__init__(AudioSaveHelper.save_audio(audio, "preview", "temp", cls, "wav"))


class PreviewVideo(_Shown):
    """Videos that were saved."""

    def __init__(self, values: Sequence[Any], **_: Any) -> None:
        self.values = list(values)

    def as_dict(self) -> dict[str, Any]:
        """See `_Shown`."""
        return {"images": self.values, "animated": (True,)}


class PreviewText(_Shown):
    """A text."""

    def __init__(self, value: str, **_: Any) -> None:
        self.value = value

    def as_dict(self) -> dict[str, Any]:
        """See `_Shown`."""
        return {"text": (self.value,)}


class PreviewUI3D(_Shown):
    """A model in three dimensions."""

    def __init__(self, model_file: str, camera_info: Any = None, **_: Any) -> None:
        self.model_file, self.camera_info = model_file, camera_info

    def as_dict(self) -> dict[str, Any]:
        """See `_Shown`."""
        return {"result": [self.model_file, self.camera_info]}


def _hidden(cls: Any, name: str) -> Any:
    return None if cls is None else getattr(cls.hidden, name)


class PreviewImage(_Shown):
    """Pictures (B, H, W, C), saved in the temp directory; `cls` lets the workflow be written into them."""

    def __init__(self, image: Tensor, animated: bool = False, cls: Any = None, **_: Any) -> None:
        from app.extend.facade.nodes import PreviewImage as Saver

        shown = Saver().save_images(image, "preview", _hidden(cls, "prompt"), _hidden(cls, "extra_pnginfo"))
        self.values = [SavedResult(**entry) for entry in shown["ui"]["images"]]
        self.animated = animated

    def as_dict(self) -> dict[str, Any]:
        """See `_Shown`."""
        return {"images": self.values, "animated": (self.animated,)}


class PreviewMask(PreviewImage):
    """Masks (B, H, W) as pictures in grey."""

    def __init__(self, mask: Tensor, animated: bool = False, cls: Any = None, **words: Any) -> None:
        grey = mask.reshape(-1, *mask.shape[-2:])[..., None].expand(-1, -1, -1, 3)
        super().__init__(grey, animated, cls, **words)


class ImageSaveHelper:
    """Saves pictures."""

    @staticmethod
    def save_images(
        images: Tensor, filename_prefix: str, folder_type: Any, cls: Any = None, compress_level: int = 4
    ) -> list[SavedResult]:
        """Write pictures (B, H, W, C) as PNG."""
        from app.extend.facade.folder_paths import get_directory_by_type
        from app.extend.facade.nodes import SaveImage

        kind = str(getattr(folder_type, "value", folder_type))
        saver = SaveImage()
        saver.type, saver.compress_level = kind, compress_level
        saver.output_dir = get_directory_by_type(kind) or saver.output_dir
        shown = saver.save_images(images, filename_prefix, _hidden(cls, "prompt"), _hidden(cls, "extra_pnginfo"))
        return [SavedResult(**entry) for entry in shown["ui"]["images"]]

    @staticmethod
    def get_save_images_ui(
        images: Tensor, filename_prefix: str, cls: Any = None, compress_level: int = 4
    ) -> SavedImages:
        """Write pictures into the output directory, and show them."""
        return SavedImages(ImageSaveHelper.save_images(images, filename_prefix, "output", cls, compress_level))

    @staticmethod
    def save_animated_png(
        images: Tensor, filename_prefix: str, folder_type: Any, cls: Any, fps: float, compress_level: int = 4
    ) -> SavedResult:
        """Write pictures (B, H, W, C) as one PNG that moves."""
        content = encode_animation(images, "png", fps, _texts(cls), compress_level=compress_level)
        return _animated(images, filename_prefix, folder_type, "png", content)

    @staticmethod
    def get_save_animated_png_ui(
        images: Tensor, filename_prefix: str, cls: Any, fps: float, compress_level: int = 4
    ) -> SavedImages:
        """The same in the output directory, and show it."""
        saved = ImageSaveHelper.save_animated_png(images, filename_prefix, "output", cls, fps, compress_level)
        return SavedImages([saved], is_animated=len(images) > 1)

    @staticmethod
    def save_animated_webp(
        images: Tensor,
        filename_prefix: str,
        folder_type: Any,
        cls: Any,
        fps: float,
        lossless: bool = True,
        quality: int = 80,
        method: int = 4,
    ) -> SavedResult:
        """Write pictures (B, H, W, C) as one WebP that moves."""
        texts = _texts(cls)
        content = encode_animation(images, "webp", fps, texts, lossless=lossless, quality=quality, effort=method)
        return _animated(images, filename_prefix, folder_type, "webp", content)

    @staticmethod
    def get_save_animated_webp_ui(
        images: Tensor,
        filename_prefix: str,
        cls: Any,
        fps: float,
        lossless: bool = True,
        quality: int = 80,
        method: int = 4,
    ) -> SavedImages:
        """The same in the output directory, and show it."""
        words = (fps, lossless, quality, method)
        saved = ImageSaveHelper.save_animated_webp(images, filename_prefix, "output", cls, *words)
        return SavedImages([saved], is_animated=len(images) > 1)


class AudioSaveHelper:
    """Saves sounds."""

    @staticmethod
    def save_audio(
        audio: Mapping[str, Any],
        filename_prefix: str,
        folder_type: Any,
        cls: Any = None,
        format: str = "wav",
        quality: str = "",
    ) -> list[SavedResult]:
        """Write each sound of a batch as WAV, 16 bits a sample.

        Raises:
            InvalidRequest: another format, for which there is no encoder here.
        """
        if format != "wav":
            raise InvalidRequest(f"Sounds cannot be written as {format!r}.", remedy="Choose wav in the pack's node.")
        saved: list[SavedResult] = []
        for sound in audio["waveform"]:
            place, entry = _place(filename_prefix, folder_type, "wav", sound.shape[-1], 1)
            with wave.open(str(place), "wb") as file:
                file.setnchannels(len(sound))
                file.setsampwidth(2)
                file.setframerate(int(audio["sample_rate"]))
                samples = (sound.detach().cpu().float().clamp(-1, 1) * 32767).round().short()
                file.writeframes(samples.T.contiguous().numpy().tobytes())
            saved.append(entry)
        return saved

    @staticmethod
    def get_save_audio_ui(
        audio: Mapping[str, Any], filename_prefix: str, cls: Any = None, format: str = "wav", quality: str = ""
    ) -> SavedAudios:
        """The same in the output directory, and show it."""
        return SavedAudios(AudioSaveHelper.save_audio(audio, filename_prefix, "output", cls, format, quality))


def _texts(cls: Any) -> dict[str, str]:
    return metadata_texts(_hidden(cls, "prompt"), _hidden(cls, "extra_pnginfo"))


def _place(prefix: str, folder_type: Any, ending: str, width: int, height: int) -> tuple[Path, SavedResult]:
    """A new file's path, and what clients are told of it."""
    from app.extend.facade.folder_paths import get_directory_by_type, get_output_directory, get_save_image_path

    kind = str(getattr(folder_type, "value", folder_type))
    folder, name, counter, subfolder, _ = get_save_image_path(
        prefix, get_directory_by_type(kind) or get_output_directory(), width, height
    )
    path = Path(folder) / f"{name}_{counter:05}_.{ending}"
    return path, SavedResult(path.name, subfolder, kind)


def _animated(images: Tensor, prefix: str, folder_type: Any, ending: str, content: bytes) -> SavedResult:
    path, entry = _place(prefix, folder_type, ending, images.shape[2], images.shape[1])
    path.write_bytes(content)
    return entry

"""`comfy_api.latest.ui`: what nodes show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor


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

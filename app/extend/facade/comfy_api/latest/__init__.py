"""`comfy_api.latest`: what packs with schemas import."""

from __future__ import annotations

from typing import Any

from app.extend.facade.comfy_api import input as Input
from app.extend.facade.comfy_api import input_impl as InputImpl
from app.extend.facade.comfy_api import util as Types
from app.extend.facade.comfy_api.latest import io, ui
from app.extend.facade.comfy_api.latest.replacing import NodeReplacements, NodeReplacementsSync
from app.extend.facade.host import current_context

IO = io
UI = ui

__all__ = ["IO", "UI", "ComfyAPI", "ComfyAPISync", "ComfyExtension", "Input", "InputImpl", "Types", "io", "ui"]


class ComfyExtension:
    """What a pack's entry point gives: its classes."""

    async def on_load(self) -> None:
        """Called once, before the classes are asked for."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """The classes."""
        return []


class _Execution:
    """What a node may say while it runs."""

    async def set_progress(
        self,
        value: float,
        max_value: float,
        node_id: str | None = None,
        preview_image: Any = None,
        ignore_size_limit: bool = False,
    ) -> None:
        """`value` of `max_value` is done."""
        from app.extend.facade.comfy.utils import ProgressBar

        if current_context() is not None:
            shown = None if preview_image is None else ("JPEG", _picture(preview_image), None)
            ProgressBar(max_value, node_id).update_absolute(value, max_value, shown)


def _picture(image: Any) -> Any:
    """A picture of PIL, of one that may be a tensor (1, H, W, C) or (H, W, C)."""
    if not hasattr(image, "shape"):
        return image
    from app.images.pixels import to_picture

    return to_picture(image[0] if image.ndim == 4 else image)


class ComfyAPI:
    """The program as nodes with schemas reach it."""

    def __init__(self) -> None:
        self.execution = _Execution()
        self.node_replacement = NodeReplacements()


class _ExecutionSync:
    def set_progress(self, value: float, max_value: float, *args: Any, **kwargs: Any) -> None:
        """See `ComfyAPI`."""
        from app.extend.facade.comfy.utils import ProgressBar

        ProgressBar(max_value).update_absolute(value, max_value)


class ComfyAPISync:
    """As `ComfyAPI`, for bodies that are not asynchronous."""

    def __init__(self) -> None:
        self.execution = _ExecutionSync()
        self.node_replacement = NodeReplacementsSync()

"""Inputs and outputs of schemas, and types made of a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any


class UploadType(str, Enum):  # noqa: UP042  (packs compare and format it as the text it is)
    """What an upload button takes."""

    image = "image_upload"
    audio = "audio_upload"
    video = "video_upload"
    model = "file_upload"


class Input:
    """An input without a widget."""

    io_type: str = "*"

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: Mapping[str, Any] | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ) -> None:
        self.id = id
        self.display_name = display_name
        self.optional = optional
        self.tooltip = tooltip
        self.lazy = lazy
        self.extra_dict = dict(extra_dict or {})
        self.rawLink = raw_link
        self.advanced = advanced

    def get_io_type(self) -> Any:
        """The type's name."""
        return self.io_type

    def as_dict(self) -> dict[str, Any]:
        """The options that clients are told; those that are None are not said."""
        said = {
            "display_name": self.display_name,
            "tooltip": self.tooltip,
            "lazy": self.lazy,
            "rawLink": self.rawLink,
            "advanced": self.advanced,
        }
        return {**{name: value for name, value in said.items() if value is not None}, **self.extra_dict}


class WidgetInput(Input):
    """An input with a widget; `options` are what the widget knows beside its default."""

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: Any = None,
        socketless: bool | None = None,
        widget_type: str | None = None,
        force_input: bool | None = None,
        extra_dict: Mapping[str, Any] | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(id, display_name, optional, tooltip, lazy, extra_dict, raw_link, advanced)
        self.default = default
        self.widget_options = {
            "default": default,
            "socketless": socketless,
            "widgetType": widget_type,
            "forceInput": force_input,
            **(options or {}),
        }

    def as_dict(self) -> dict[str, Any]:
        """See `Input`."""
        said = {name: getattr(value, "value", value) for name, value in self.widget_options.items()}
        return {**{name: value for name, value in said.items() if value is not None}, **super().as_dict()}


class Output:
    """An output."""

    io_type: str = "*"

    def __init__(
        self,
        id: str | None = None,
        display_name: str | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
    ) -> None:
        self.id = id
        self.display_name = display_name
        self.tooltip = tooltip
        self.is_output_list = is_output_list

    def get_io_type(self) -> str:
        """The type's name."""
        return self.io_type


class ComfyType:
    """A type of ports. `Input` and `Output` make them."""

    io_type: str = "*"
    Type: Any = Any
    Input: Any = Input
    Output: Any = Output


def Custom(io_type: str) -> type[ComfyType]:
    """A type of that name."""
    return comfytype(io_type=io_type)(type(io_type, (ComfyType,), {}))


def comfytype(*, io_type: str, **_: Any) -> Callable[[type[Any]], type[Any]]:
    """Makes a class a type of that name."""

    def named(cls: type[Any]) -> type[Any]:
        cls.io_type = io_type
        for part, usual in (("Input", Input), ("Output", Output)):
            base = getattr(cls, part, usual)
            setattr(cls, part, type(part, (base,), {"io_type": io_type}))
        return cls

    return named

"""Types of ports that have a widget."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

from app.extend.facade.comfy_api.latest import ports
from app.extend.facade.comfy_api.latest.ports import ComfyType, UploadType, WidgetInput, comfytype


class NumberDisplay(str, Enum):  # noqa: UP042  (packs compare and format it as the text it is)
    """How a number is edited."""

    number = "number"
    slider = "slider"
    gradient_slider = "gradientslider"


class RemoteOptions:
    """A combo whose options come from a route."""

    def __init__(
        self,
        route: str,
        refresh_button: bool = True,
        control_after_refresh: str = "first",
        timeout: int | None = None,
        max_retries: int | None = None,
        refresh: int | None = None,
    ) -> None:
        self.said = {
            "route": route,
            "refresh_button": refresh_button,
            "control_after_refresh": control_after_refresh,
            "timeout": timeout,
            "max_retries": max_retries,
            "refresh": refresh,
        }

    def as_dict(self) -> dict[str, Any]:
        """For clients."""
        return {name: value for name, value in self.said.items() if value is not None}


@comfytype(io_type="BOOLEAN")
class Boolean(ComfyType):
    """True or false."""

    class Input(WidgetInput):
        """`label_on` and `label_off` are shown for them."""

        def __init__(
            self, id: str, *args: Any, label_on: str | None = None, label_off: str | None = None, **words: Any
        ) -> None:
            super().__init__(id, *args, options={"label_on": label_on, "label_off": label_off}, **words)


@comfytype(io_type="INT")
class Int(ComfyType):
    """A whole number."""

    class Input(WidgetInput):
        """Limits are both allowed."""

        def __init__(
            self,
            id: str,
            *args: Any,
            min: int | None = None,
            max: int | None = None,
            step: int | None = None,
            control_after_generate: Any = None,
            display_mode: NumberDisplay | None = None,
            **words: Any,
        ) -> None:
            limits = {"min": min, "max": max, "step": step, "control_after_generate": control_after_generate}
            super().__init__(id, *args, options={**limits, "display": display_mode}, **words)


@comfytype(io_type="FLOAT")
class Float(ComfyType):
    """A number."""

    class Input(WidgetInput):
        """Limits are both allowed; `round` guides the widget."""

        def __init__(
            self,
            id: str,
            *args: Any,
            min: float | None = None,
            max: float | None = None,
            step: float | None = None,
            round: float | None = None,
            display_mode: NumberDisplay | None = None,
            gradient_stops: Any = None,
            **words: Any,
        ) -> None:
            limits = {"min": min, "max": max, "step": step, "round": round, "gradient_stops": gradient_stops}
            super().__init__(id, *args, options={**limits, "display": display_mode}, **words)


@comfytype(io_type="STRING")
class String(ComfyType):
    """A text."""

    class Input(WidgetInput):
        """`dynamic_prompts` lets the editor choose among {a|b}."""

        def __init__(
            self,
            id: str,
            *args: Any,
            multiline: bool = False,
            placeholder: str | None = None,
            dynamic_prompts: bool | None = None,
            **words: Any,
        ) -> None:
            said = {"multiline": multiline, "placeholder": placeholder, "dynamicPrompts": dynamic_prompts}
            super().__init__(id, *args, options=said, **words)


@comfytype(io_type="COLOR")
class Color(ComfyType):
    """A colour as #rrggbb."""

    Input = WidgetInput


def _choices(options: Any) -> Any:
    """The values of an Enum, or the list itself, which may be one that stays alive."""
    members: Any = getattr(options, "__members__", None) if isinstance(options, type) else None
    return options if members is None else [member.value for member in members.values()]


class _OneOfSeveral(WidgetInput):
    """`options` is a list, or an Enum whose values are meant."""

    multiple = False

    def __init__(
        self,
        id: str,
        options: Sequence[Any] | type[Enum] | None = None,
        *args: Any,
        control_after_generate: Any = None,
        upload: UploadType | None = None,
        image_folder: Any = None,
        remote: RemoteOptions | None = None,
        **words: Any,
    ) -> None:
        said: dict[str, Any] = {
            "options": _choices(options),
            "control_after_generate": control_after_generate,
            "image_folder": image_folder,
            "remote": None if remote is None else remote.as_dict(),
            "multiselect": True if self.multiple else None,
        }
        if upload is not None:
            said[upload.value] = True
        if isinstance(words.get("default"), Enum):
            words["default"] = words["default"].value
        super().__init__(id, *args, options=said, **words)
        self.options = said["options"]


@comfytype(io_type="COMBO")
class Combo(ComfyType):
    """One of several."""

    Input = _OneOfSeveral

    class Output(ports.Output):
        """One of these."""

        def __init__(
            self, id: str | None = None, display_name: str | None = None, options: Any = None, **words: Any
        ) -> None:
            super().__init__(id, display_name, **words)
            self.options = _choices(options)


@comfytype(io_type="COMBO")
class MultiCombo(ComfyType):
    """Any of several."""

    class Input(_OneOfSeveral):
        """`default` is a list."""

        multiple = True

        def __init__(
            self,
            id: str,
            options: Sequence[Any],
            *args: Any,
            placeholder: str | None = None,
            chip: bool | None = None,
            **words: Any,
        ) -> None:
            super().__init__(id, options, *args, **words)
            self.widget_options["multi_select"] = {"placeholder": placeholder or "", "chip": bool(chip)}

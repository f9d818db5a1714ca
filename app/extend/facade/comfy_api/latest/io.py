"""`comfy_api.latest.io`: types of ports, schemas, and the base of node classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, cast

from app.extend.facade.comfy_api.latest.ports import (
    ComfyType,
    Custom,
    Input,
    Output,
    UploadType,
    WidgetInput,
    comfytype,
)
from app.extend.facade.comfy_api.latest.replacing import NodeReplace
from app.extend.facade.comfy_api.latest.widgets import (
    Boolean,
    Color,
    Combo,
    Float,
    Int,
    MultiCombo,
    NumberDisplay,
    RemoteOptions,
    String,
)

__all__ = [
    "Autogrow",
    "Boolean",
    "Color",
    "Combo",
    "ComfyNode",
    "ComfyType",
    "Custom",
    "DynamicCombo",
    "Float",
    "FolderType",
    "Hidden",
    "Input",
    "Int",
    "MatchType",
    "MultiCombo",
    "MultiType",
    "NodeOutput",
    "NodeReplace",
    "NumberDisplay",
    "Output",
    "RemoteOptions",
    "Schema",
    "String",
    "UploadType",
    "WidgetInput",
    "comfytype",
]

# Types without a widget, by the name that packs use.
_SOCKETS: Mapping[str, str] = {
    "Accumulation": "ACCUMULATION",
    "AnyType": "*",
    "Audio": "AUDIO",
    "AudioEncoder": "AUDIO_ENCODER",
    "AudioEncoderOutput": "AUDIO_ENCODER_OUTPUT",
    "BBOX": "BBOX",
    "BoundingBox": "BOUNDING_BOX",
    "Clip": "CLIP",
    "ClipVision": "CLIP_VISION",
    "ClipVisionOutput": "CLIP_VISION_OUTPUT",
    "Conditioning": "CONDITIONING",
    "ControlNet": "CONTROL_NET",
    "Curve": "CURVE",
    "FaceAnalysis": "FACE_ANALYSIS",
    "FlowControl": "FLOW_CONTROL",
    "Gligen": "GLIGEN",
    "Guider": "GUIDER",
    "Histogram": "HISTOGRAM",
    "HookKeyframes": "HOOK_KEYFRAMES",
    "Hooks": "HOOKS",
    "Image": "IMAGE",
    "Latent": "LATENT",
    "LatentOperation": "LATENT_OPERATION",
    "LatentUpscaleModel": "LATENT_UPSCALE_MODEL",
    "Load3D": "LOAD_3D",
    "Load3DAnimation": "LOAD_3D_ANIMATION",
    "Load3DCamera": "LOAD3D_CAMERA",
    "LoraModel": "LORA_MODEL",
    "LossMap": "LOSS_MAP",
    "Mask": "MASK",
    "Mesh": "MESH",
    "Model": "MODEL",
    "ModelPatch": "MODEL_PATCH",
    "Noise": "NOISE",
    "Photomaker": "PHOTOMAKER",
    "Point": "POINT",
    "SEGS": "SEGS",
    "SVG": "SVG",
    "Sampler": "SAMPLER",
    "Sigmas": "SIGMAS",
    "StyleModel": "STYLE_MODEL",
    "TimestepsRange": "TIMESTEPS_RANGE",
    "Tracks": "TRACKS",
    "UpscaleModel": "UPSCALE_MODEL",
    "Vae": "VAE",
    "Video": "VIDEO",
    "Voxel": "VOXEL",
    "WanCameraEmbedding": "WAN_CAMERA_EMBEDDING",
    "Webcam": "WEBCAM",
}


def __getattr__(name: str) -> type[ComfyType]:
    """The types without a widget."""
    if name not in _SOCKETS:
        raise AttributeError(f"module 'comfy_api.latest.io' has no attribute {name!r}")
    made = globals()[name] = Custom(_SOCKETS[name])
    return made


class FolderType(str, Enum):  # noqa: UP042  (packs compare and format it as the text it is)
    """Directories that files are shown from."""

    input = "input"
    output = "output"
    temp = "temp"


class Hidden(str, Enum):  # noqa: UP042
    """What the program gives a node beside its inputs."""

    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    dynprompt = "DYNPROMPT"
    auth_token_comfy_org = "AUTH_TOKEN_COMFY_ORG"
    api_key_comfy_org = "API_KEY_COMFY_ORG"


class HiddenHolder:
    """The hidden inputs of a call; those that were not asked for are None."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = dict(given)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._given.get(name)


class MultiType:
    """An input that takes several types."""

    class Input(Input):
        """`id` may be a widget's input: then the widget is shown for what no link gives."""

        def __init__(self, id: Any, types: Sequence[Any], **words: Any) -> None:
            self.widget: Input | None = id if isinstance(id, Input) else None
            super().__init__(id.id if isinstance(id, Input) else id, **words)
            if self.widget is not None:
                self.display_name, self.optional = self.widget.display_name, self.widget.optional
            self.types = [getattr(each, "io_type", str(each)) for each in types]

        def get_io_type(self) -> str:
            """The names with commas, the widget's first."""
            first = [] if self.widget is None else [str(self.widget.get_io_type())]
            return ",".join(dict.fromkeys([*first, *self.types]))

        def as_dict(self) -> dict[str, Any]:
            """Options, the widget's among them."""
            widget = {} if self.widget is None else {**self.widget.as_dict(), "widgetType": self.widget.get_io_type()}
            return {**widget, **super().as_dict()}


class MatchType:
    """Ports whose types must be the same, whatever it is."""

    class Template:
        """Names the type that ports share."""

        def __init__(self, template_id: str, allowed_types: Any = None) -> None:
            self.template_id = template_id
            given = cast("Sequence[Any]", allowed_types if isinstance(allowed_types, list | tuple) else [allowed_types])
            self.allowed_types = [str(getattr(each, "io_type", each)) for each in given if each is not None] or ["*"]

        def as_dict(self) -> dict[str, Any]:
            """For clients."""
            return {"template_id": self.template_id, "allowed_types": ",".join(self.allowed_types)}

    class Input(Input):
        """An input of that type."""

        io_type = "COMFY_MATCHTYPE_V3"

        def __init__(self, id: str, template: Any, **words: Any) -> None:
            super().__init__(id, **words)
            self.template = template

        def as_dict(self) -> dict[str, Any]:
            """Options."""
            return {**super().as_dict(), "template": self.template.as_dict()}

    class Output(Output):
        """An output of that type."""

        io_type = "COMFY_MATCHTYPE_V3"

        def __init__(self, template: Any, id: str | None = None, **words: Any) -> None:
            super().__init__(id, **words)
            self.template = template


class Autogrow:
    """An input that grows: as many as are linked, given to the node as a dict."""

    class _Template:
        def __init__(self, input: Input) -> None:
            self.input = input

        def as_dict(self) -> dict[str, Any]:
            """For clients: how one of them looks."""
            section = "optional" if self.input.optional else "required"
            return {"input": {section: {self.input.id: [self.input.get_io_type(), self.input.as_dict()]}}}

    class TemplatePrefix(_Template):
        """Names made of a prefix and a number."""

        def __init__(self, input: Input, prefix: str, min: int = 1, max: int = 10) -> None:
            super().__init__(input)
            self.prefix, self.min, self.max = prefix, min, max

        def as_dict(self) -> dict[str, Any]:
            """For clients."""
            return {**super().as_dict(), "prefix": self.prefix, "min": self.min, "max": self.max}

    class TemplateNames(_Template):
        """Names from a list."""

        def __init__(self, input: Input, names: Sequence[str], min: int = 1) -> None:
            super().__init__(input)
            self.names, self.min = list(names), min

        def as_dict(self) -> dict[str, Any]:
            """For clients."""
            return {**super().as_dict(), "names": self.names, "min": self.min}

    class Input(Input):
        """The input; its values are named "<id>.<name>" in prompts."""

        io_type = "COMFY_AUTOGROW_V3"

        def __init__(self, id: str, template: Any, **words: Any) -> None:
            super().__init__(id, **words)
            self.template = template

        def as_dict(self) -> dict[str, Any]:
            """Options."""
            return {**super().as_dict(), "template": self.template.as_dict()}

    Type = dict[str, Any]


def _sections(ports: Sequence[Input]) -> dict[str, dict[str, Any]]:
    """For clients: the inputs that another one brings."""
    sections: dict[str, dict[str, Any]] = {"required": {}}
    for port in ports:
        section = sections.setdefault("optional" if port.optional else "required", {})
        section[port.id] = [port.get_io_type(), port.as_dict()]
    return sections


class DynamicCombo:
    """A choice that brings inputs of its own, given to the node as a dict."""

    class Option:
        """One choice and its inputs."""

        def __init__(self, key: str, inputs: Sequence[Input]) -> None:
            self.key, self.inputs = key, list(inputs)

        def as_dict(self) -> dict[str, Any]:
            """For clients."""
            return {"key": self.key, "inputs": _sections(self.inputs)}

    class Input(Input):
        """The choice; the fields of what is chosen are named "<id>.<field>" in prompts."""

        io_type = "COMFY_DYNAMICCOMBO_V3"

        def __init__(self, id: str, options: Sequence[Any], **words: Any) -> None:
            super().__init__(id, **words)
            self.options = list(options)

        def as_dict(self) -> dict[str, Any]:
            """Options."""
            return {**super().as_dict(), "options": [option.as_dict() for option in self.options]}

    Type = dict[str, Any]


class DynamicSlot:
    """A socket that brings inputs of its own once it is linked, given to the node as a dict."""

    class Input(Input):
        """The socket; the fields that it brings are named "<id>.<field>" in prompts."""

        io_type = "COMFY_DYNAMICSLOT_V3"

        def __init__(self, slot: Any, inputs: Sequence[Any], **words: Any) -> None:
            super().__init__(slot.id, **{"optional": slot.optional, **words})
            self.slot, self.inputs = slot, list(inputs)

        def as_dict(self) -> dict[str, Any]:
            """Options."""
            return {**super().as_dict(), "slotType": self.slot.get_io_type(), "inputs": _sections(self.inputs)}

    Type = dict[str, Any]


class DynamicGroup:
    """Rows of inputs, given to the node as a list of dicts."""

    class Input(Input):
        """The rows; the fields of each are named "<id>.<row>.<field>" in prompts."""

        io_type = "COMFY_DYNAMICGROUP_V3"

        def __init__(
            self,
            id: str,
            template: Sequence[Any],
            min: int = 0,
            max: int = 50,
            group_name: str | None = None,
            **words: Any,
        ) -> None:
            super().__init__(id, **words)
            self.template, self.min, self.max, self.group_name = list(template), min, max, group_name

        def as_dict(self) -> dict[str, Any]:
            """Options."""
            limits = {"min": self.min, "max": self.max, "group_name": self.group_name}
            return {**super().as_dict(), "template": _sections(self.template), **limits}

    Type = list[dict[str, Any]]


@dataclass
class Schema:
    """What a node class declares."""

    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[Input] = field(default_factory=list[Input])
    outputs: list[Output] = field(default_factory=list[Output])
    hidden: list[Hidden] = field(default_factory=list[Hidden])
    description: str = ""
    search_aliases: list[str] = field(default_factory=list[str])
    is_input_list: bool = False
    is_output_node: bool = False
    is_deprecated: bool = False
    is_experimental: bool = False
    is_dev_only: bool = False
    is_api_node: bool = False
    price_badge: Any = None
    not_idempotent: bool = False
    enable_expand: bool = False
    accept_all_inputs: bool = False
    essentials_category: str | None = None
    has_intermediate_output: bool = False


class NodeOutput:
    """What `execute` gives: values, what is shown, an expansion, or a message that blocks what follows."""

    def __init__(
        self,
        *args: Any,
        ui: Any = None,
        expand: Mapping[str, Any] | None = None,
        block_execution: str | None = None,
    ) -> None:
        self.args = args
        self.ui = ui
        self.expand = expand
        self.block_execution = block_execution

    @property
    def result(self) -> tuple[Any, ...] | None:
        """The values, None without any."""
        return self.args or None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> NodeOutput:
        """From the form that older classes give."""
        values = data.get("result") or ()
        return cls(*values, ui=data.get("ui"), expand=data.get("expand"))


def _default(method: Callable[..., Any]) -> Callable[..., Any]:
    method.is_default = True  # pyright: ignore[reportFunctionMemberAccess]
    return method


class _Lockable(type):
    """Classes that can be locked: then nothing can be set on them."""

    def __setattr__(cls, name: str, value: Any) -> None:
        if cls.__dict__.get("is_locked", False):
            raise AttributeError(f"{cls.__name__}.{name} cannot be set while a node runs; give it back as an output.")
        super().__setattr__(name, value)


class ComfyNode(metaclass=_Lockable):
    """Base of node classes. All methods are class methods; each call gets a copy of the class, locked."""

    hidden: ClassVar[HiddenHolder] = HiddenHolder({})

    @classmethod
    def define_schema(cls) -> Schema:
        """What the node declares. Raises TypeError where a class does not say."""
        raise TypeError(f"{cls.__name__} has no define_schema.")

    @classmethod
    def execute(cls, **inputs: Any) -> Any:
        """The work. Raises TypeError where a class does not do any."""
        raise TypeError(f"{cls.__name__} has no execute.")

    @classmethod
    @_default
    def validate_inputs(cls, **inputs: Any) -> bool | str:
        """True, or a complaint."""
        return True

    @classmethod
    @_default
    def fingerprint_inputs(cls, **inputs: Any) -> Any:
        """Changes when a run with equal inputs would differ."""
        return None

    @classmethod
    @_default
    def check_lazy_status(cls, **inputs: Any) -> list[str]:
        """The lazy inputs that are needed."""
        return [name for name, value in inputs.items() if value is None]

    @classmethod
    def locked(cls, hidden: Mapping[str, Any]) -> type[ComfyNode]:
        """A copy of the class for one call."""
        return _Lockable(cls.__name__, (cls,), {"hidden": HiddenHolder(hidden), "is_locked": True})

    @classmethod
    def GET_SCHEMA(cls) -> Schema:
        """The schema."""
        return cls.define_schema()

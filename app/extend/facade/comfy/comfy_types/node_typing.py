"""`comfy.comfy_types.node_typing`: type names, and a base class that declares what nodes have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import Any, ClassVar, TypedDict


class IO(StrEnum):
    """Names of types. ANY differs from nothing; a name that lists several fits each of them."""

    STRING = "STRING"
    IMAGE = "IMAGE"
    MASK = "MASK"
    LATENT = "LATENT"
    BOOLEAN = "BOOLEAN"
    INT = "INT"
    FLOAT = "FLOAT"
    CONDITIONING = "CONDITIONING"
    SAMPLER = "SAMPLER"
    SIGMAS = "SIGMAS"
    GUIDER = "GUIDER"
    NOISE = "NOISE"
    CLIP = "CLIP"
    CONTROL_NET = "CONTROL_NET"
    VAE = "VAE"
    MODEL = "MODEL"
    LORA_MODEL = "LORA_MODEL"
    LOSS_MAP = "LOSS_MAP"
    CLIP_VISION = "CLIP_VISION"
    CLIP_VISION_OUTPUT = "CLIP_VISION_OUTPUT"
    STYLE_MODEL = "STYLE_MODEL"
    GLIGEN = "GLIGEN"
    UPSCALE_MODEL = "UPSCALE_MODEL"
    AUDIO = "AUDIO"
    WEBCAM = "WEBCAM"
    POINT = "POINT"
    FACE_ANALYSIS = "FACE_ANALYSIS"
    BBOX = "BBOX"
    SEGS = "SEGS"
    VIDEO = "VIDEO"
    COMBO = "COMBO"
    NUMBER = "FLOAT,INT"
    PRIMITIVE = "STRING,FLOAT,INT,BOOLEAN"
    ANY = "*"

    def __ne__(self, value: object) -> bool:
        if self == "*" or value == "*" or not isinstance(value, str):
            return False
        return {part.strip() for part in self.split(",")}.isdisjoint(part.strip() for part in value.split(","))

    __hash__ = str.__hash__


class InputTypeOptions(TypedDict, total=False):
    """Options of an input."""

    default: Any
    defaultInput: bool
    forceInput: bool
    lazy: bool
    rawLink: bool
    tooltip: str
    min: float
    max: float
    step: float
    round: float
    multiline: bool
    placeholder: str
    dynamicPrompts: bool
    label_on: str
    label_off: str


class HiddenInputTypeDict(TypedDict, total=False):
    """Inputs that the program gives itself."""

    node_id: str
    unique_id: str
    prompt: str
    extra_pnginfo: str
    dynprompt: str


class InputTypeDict(TypedDict, total=False):
    """What INPUT_TYPES gives."""

    required: dict[str, Any]
    optional: dict[str, Any]
    hidden: dict[str, Any]


class FileLocator(TypedDict):
    """Where a file that a node shows lies."""

    filename: str
    subfolder: str
    type: str


class CheckLazyMixin:
    """Asks for every lazy input."""

    def check_lazy_status(self, **kwargs: Any) -> list[str]:
        """The inputs that are not there yet."""
        return [name for name, value in kwargs.items() if value is None]


class ComfyNodeABC(ABC):
    """The attributes of a node class, for editors that complete them."""

    DESCRIPTION: ClassVar[str]
    CATEGORY: ClassVar[str]
    EXPERIMENTAL: ClassVar[bool]
    DEPRECATED: ClassVar[bool]
    API_NODE: ClassVar[bool | None]
    RETURN_TYPES: ClassVar[tuple[Any, ...]]
    RETURN_NAMES: ClassVar[tuple[str, ...]]
    OUTPUT_IS_LIST: ClassVar[tuple[bool, ...]]
    FUNCTION: ClassVar[str]

    @classmethod
    @abstractmethod
    def INPUT_TYPES(cls) -> InputTypeDict:
        """The inputs by section."""
        return {"required": {}}

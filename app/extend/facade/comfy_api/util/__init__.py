"""`comfy_api.util`: what videos are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from typing import Any

from torch import Tensor


class VideoCodec(str, Enum):  # noqa: UP042  (packs compare and format it as the text it is)
    """How pictures are coded."""

    AUTO = "auto"
    H264 = "h264"

    @classmethod
    def as_input(cls) -> list[str]:
        """The choices of a combo."""
        return [each.value for each in cls]


class VideoContainer(str, Enum):  # noqa: UP042
    """The kind of file."""

    AUTO = "auto"
    MP4 = "mp4"

    @classmethod
    def as_input(cls) -> list[str]:
        """The choices of a combo."""
        return [each.value for each in cls]

    @classmethod
    def get_extension(cls, value: Any) -> str:
        """The ending of such files."""
        return "mp4" if cls(value) in (cls.MP4, cls.AUTO) else ""


@dataclass
class VideoComponents:
    """Pictures (F, H, W, C) in 0..1, sound {waveform, sample_rate} if there is any, frames a second."""

    images: Tensor
    frame_rate: Fraction
    audio: Any = None
    metadata: dict[str, Any] | None = field(default=None)

"""`comfy_api.input`: what links carry, as types."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, TypedDict

from torch import Tensor

from app.errors import InvalidRequest
from app.extend.facade.comfy_api.util import VideoComponents

ImageInput = Tensor  # (B, H, W, C) in 0..1
MaskInput = Tensor  # (B, H, W) in 0..1
LatentInput = dict[str, Any]


class AudioInput(TypedDict):
    """A sound."""

    waveform: Tensor  # (B, channels, samples)
    sample_rate: int


class VideoInput:
    """A video. Subclasses tell what it is made of."""

    def get_components(self) -> VideoComponents:
        """Its pictures, sound and rate."""
        raise TypeError(f"The video {type(self).__name__} has no get_components method.")

    def get_dimensions(self) -> tuple[int, int]:
        """Width and height."""
        images = self.get_components().images
        return int(images.shape[2]), int(images.shape[1])

    def get_frame_count(self) -> int:
        """How many pictures."""
        return int(self.get_components().images.shape[0])

    def get_frame_rate(self) -> Fraction:
        """Pictures a second."""
        return Fraction(self.get_components().frame_rate)

    def get_duration(self) -> float:
        """Seconds."""
        return float(self.get_frame_count() / self.get_frame_rate())

    def save_to(self, path: Any, format: Any = "auto", codec: Any = "auto", metadata: Any = None) -> None:
        """Videos are not written.

        Raises:
            InvalidRequest: always.
        """
        raise InvalidRequest(
            "Videos cannot be written: there is no encoder here.",
            remedy="Save the pictures (get_components().images), or as an animated WebP.",
        )

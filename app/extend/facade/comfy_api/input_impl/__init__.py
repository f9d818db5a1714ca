"""`comfy_api.input_impl`: videos that packs make."""

from __future__ import annotations

from typing import Any

from app.errors import InvalidRequest
from app.extend.facade.comfy_api.input import VideoInput
from app.extend.facade.comfy_api.util import VideoComponents


class VideoFromComponents(VideoInput):
    """A video of pictures that are there."""

    def __init__(self, components: VideoComponents) -> None:
        self._components = components

    def get_components(self) -> VideoComponents:
        """See `VideoInput`."""
        return self._components


class VideoFromFile(VideoInput):
    """A video in a file, which cannot be read.

    Raises:
        InvalidRequest: always, with the way out.
    """

    def __init__(self, file: Any) -> None:
        raise InvalidRequest(
            f"The video {str(file)[:200]!r} cannot be read: there is no decoder here.",
            remedy="Take its frames out with another program, and load those as pictures.",
        )

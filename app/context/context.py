"""What one call of a node gets: the services of the process, and its own line to whoever listens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from app.context.protocol import Files, Models, Picture
from app.engine.events import Event, Preview, Progress
from app.errors import Cancelled
from app.images.encoding import encode_preview

SECONDS_BETWEEN = 0.1
SHARE = 8  # making previews may take one part in this many of the time


@dataclass(slots=True)
class PreviewPace:
    """When the next preview is due; shared by all nodes of a process. `size` is the longest side, 0 for none."""

    size: int = 512
    clock: Callable[[], float] = time.monotonic
    _due: float = field(default=float("-inf"))

    def picture(self, picture: Picture) -> bytes | None:
        """The picture as JPEG, or None when it is too soon for one."""
        began = self.clock()
        if not self.size or began < self._due:
            return None
        encoded = encode_preview(picture() if callable(picture) else picture, self.size)
        ended = self.clock()
        self._due = ended + max(SECONDS_BETWEEN, SHARE * (ended - began))
        return encoded


@dataclass(slots=True)
class NodeContext:
    """See `protocol.Context`. `list_index` counts the calls of one node."""

    is_node_context: ClassVar[bool] = True

    node_id: str
    models: Models
    files: Files
    emit: Callable[[Event], None]
    interrupted: Callable[[], bool]
    pace: PreviewPace
    list_index: int = 0

    def progress(self, done: float, total: float, preview: Picture | None = None) -> None:
        """See `protocol.Context`."""
        self.check_cancelled()
        self.emit(Progress(self.node_id, done, total))
        image = None if preview is None else self.pace.picture(preview)
        if image is not None:
            self.emit(Preview(self.node_id, "image/jpeg", image))

    def check_cancelled(self) -> None:
        """See `protocol.Context`."""
        if self.interrupted():
            raise Cancelled("The run was interrupted.")

"""`comfy_execution.progress`: how far nodes are."""

from __future__ import annotations

from typing import Any

from app.extend.facade.host import current_context


class ProgressRegistry:
    """Reports a node's progress to whoever listens to the run."""

    def update_progress(self, node_id: str, value: float, max_value: float, image: Any = None) -> None:
        """The node has done `value` of `max_value`."""
        context = current_context()
        if context is not None:
            context.progress(value, max_value)


def get_progress_state() -> ProgressRegistry:
    """The registry of the run."""
    return ProgressRegistry()

"""`comfy_execution.utils`: which node runs."""

from __future__ import annotations

from typing import NamedTuple

from app.extend.facade.host import HOST, current_context


class ExecutionContext(NamedTuple):
    """The job, the node and which of its calls."""

    prompt_id: str
    node_id: str
    list_index: int | None = None


def get_executing_context() -> ExecutionContext | None:
    """What runs now, None between nodes."""
    context = current_context()
    return None if context is None else ExecutionContext(HOST.now.job.job_id, context.node_id, 0)

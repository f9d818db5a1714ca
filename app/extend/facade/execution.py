"""`execution`: what packs look for beside the executor, which is `app.engine` here."""

from __future__ import annotations

from typing import Any

from app.extend.facade.comfy_execution.graph import ExecutionBlocker
from app.extend.facade.host import HOST

__all__ = ["ExecutionBlocker", "PromptExecutor", "PromptQueue", "map_node_over_list", "validate_prompt"]

map_node_over_list = None  # as in the reference: there is nothing here to replace


class PromptExecutor:
    """The name that packs test for; graphs are evaluated by the engine."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.success = True
        self.history_result: dict[str, Any] = {}


class PromptQueue:
    """What a pack may ask of the queue from inside the worker: the job that runs here."""

    @property
    def currently_running(self) -> dict[int, Any]:
        """The job of this process by a number."""
        job = HOST.now.job
        return {0: (0, job.job_id, {}, {"client_id": job.client_id}, [])} if job.job_id else {}

    def get_current_queue(self) -> tuple[list[Any], list[Any]]:
        """(running, waiting); what waits is the server's."""
        return list(self.currently_running.values()), []

    def get_tasks_remaining(self) -> int:
        """How many jobs this process has."""
        return len(self.currently_running)

    def get_history(
        self, prompt_id: str | None = None, max_items: int | None = None, offset: int = -1
    ) -> dict[str, Any]:
        """The history is the server's; ask GET /history."""
        return {}


async def validate_prompt(prompt_id: str, prompt: Any, *_: Any) -> tuple[bool, Any, list[str], dict[str, Any]]:
    """(valid, error, outputs, errors by node) of a graph in prompt form."""
    from app.errors import InvalidPrompt
    from app.graph.prompt import parse_prompt
    from app.graph.validate import validate
    from app.store.folders import FileNames

    host = HOST.now
    try:
        found = validate(
            parse_prompt(prompt), {n: node.spec for n, node in host.nodes.items()}, FileNames(host.folders)
        )
    except InvalidPrompt as error:
        told = {"type": error.kind, "message": error.message, "details": error.details, "extra_info": error.extra_info}
        return False, told, [], dict(error.node_errors)
    return True, None, list(found.outputs), dict(found.node_errors)

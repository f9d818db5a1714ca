"""What both styles of node classes share: hooks that may be asynchronous, lists that clients are shown."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Mapping
from typing import Any

from app.graph.json_values import is_sequence


def settled(answer: Any) -> Any:
    """What a hook answers, waited for if it is asynchronous."""
    if not inspect.isawaitable(answer):
        return answer

    async def wait() -> Any:
        return await answer

    return asyncio.run(wait())


def shown_lists(ui: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What a node shows, each entry as the list that clients expect, in plain JSON data."""
    return {str(key): plain(list(items) if is_sequence(items) else [items]) for key, items in ui.items()}


def plain(value: Any) -> Any:
    """What JSON can say of a value: specs travel to the server."""
    return json.loads(json.dumps(value, default=str))


def parameters(hook: Any) -> tuple[str, ...]:
    """The names that a hook takes; "*" for all."""
    given = inspect.signature(hook).parameters.values()
    return tuple("*" if p.kind is p.VAR_KEYWORD else p.name for p in given if p.kind is not p.VAR_POSITIONAL)


def accepted(hook: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the inputs that a hook takes."""
    names = parameters(hook)
    return dict(inputs) if "*" in names else {name: inputs[name] for name in names if name in inputs}

"""A node's exception as an event that a person can act on, and values as short texts."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping
from typing import Any

from app.engine.events import RunFailed
from app.errors import AppError, is_out_of_memory
from app.graph.json_values import is_object, is_sequence

MAX_TEXT = 200
MAX_ITEMS = 10
MAX_FRAMES = 50


def run_failed(
    error: BaseException,
    *,
    node_id: str,
    class_type: str,
    inputs: Mapping[str, list[Any]],
    executed: Iterable[str],
) -> RunFailed:
    """The event for an error in a node; `inputs` are the lists of values that it was called with."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    message = error.message if isinstance(error, AppError) else str(error)
    return RunFailed(
        node_id=node_id,
        class_type=class_type,
        message=message or kind.__qualname__,
        exception_type=name,
        traceback=tuple(traceback.format_tb(error.__traceback__)[-MAX_FRAMES:]),
        current_inputs={key: [summary(value) for value in values[:MAX_ITEMS]] for key, values in inputs.items()},
        executed=tuple(executed),
        remedy=_remedy(error),
        input_name=error.input_name if isinstance(error, AppError) else None,
    )


def summary(value: object) -> Any:
    """A value for people: small numbers and texts as they are, all else in a few words, never a large dump."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= 64 else f"a number of {value.bit_length()} bits"
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}…"
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{type(value).__name__} {getattr(value, 'dtype', '')} {list(shape)}"
    if is_object(value):
        return f"{type(value).__name__} with {', '.join(str(key)[:40] for key in list(value)[:MAX_ITEMS])}"
    if is_sequence(value):
        return f"{type(value).__name__} of {len(value)}"
    return type(value).__name__


def _remedy(error: BaseException) -> str:
    if isinstance(error, AppError):
        return error.remedy
    if is_out_of_memory(error):
        return "There was not enough memory: use a smaller picture or batch, or free memory and run again."
    return ""

"""What stands in for a part that a checkpoint does not hold, until somebody wants to use it."""

from __future__ import annotations

from typing import Any

from app.errors import InvalidRequest


class Absent:
    """Says what is missing and what to do as soon as it is used; may be passed on and left alone."""

    def __init__(self, what: str, file: str, remedy: str) -> None:
        self._told = (f"The checkpoint {file!r} holds no {what}.", remedy)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        message, remedy = self._told
        raise InvalidRequest(message, remedy=remedy)

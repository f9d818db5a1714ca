"""Narrowings for readers of JSON data: `isinstance` alone forgets what a container holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether it is an object of JSON; its keys are text then."""
    return type(value) is dict or isinstance(value, Mapping)  # the second takes ten times as long


def is_dict(value: object) -> TypeGuard[dict[str, Any]]:
    """The same, for values that came from the parser itself, which makes no other mapping."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether it is a list of JSON."""
    return isinstance(value, list)


def is_sequence(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether it is a list, or the tuple that Python code writes for one."""
    return isinstance(value, list | tuple)

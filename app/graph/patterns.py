"""Patterns in texts, filled at the moment of a run: %date:yyyy-MM-dd% and %Node.widget%."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

LookUp = Callable[[str, str], object]  # (node, widget) to its value, None where there is none

_PATTERN = re.compile(r"%([^%\s][^%]*)%")
_DATE = re.compile(r"yyyy|yy|dd?|MM?|hh?|mm?|ss?")
_UNSAFE = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')


def fill_patterns(text: str, look_up: LookUp, now: datetime) -> str:
    """The text with its patterns filled; one that names nothing stays as it is.

    Characters that file names cannot hold become "_" in values.
    """

    def fill(match: re.Match[str]) -> str:
        body = match[1]
        if body.startswith("date:"):
            return date_text(body.removeprefix("date:"), now)
        node, dot, widget = body.rpartition(".")
        value = look_up(node, widget) if dot and node else None
        return match[0] if value is None else _UNSAFE.sub("_", _plain(value))

    return _PATTERN.sub(fill, text)


def date_text(pattern: str, now: datetime) -> str:
    """A moment in the words of a pattern of d, M, yyyy, h, m and s; a doubled letter pads with a zero."""
    parts = {"d": now.day, "M": now.month, "h": now.hour, "m": now.minute, "s": now.second}

    def fill(match: re.Match[str]) -> str:
        token = match[0]
        return f"{now.year}"[-len(token) :] if token[0] == "y" else f"{parts[token[0]]:0{len(token)}d}"

    return _DATE.sub(fill, pattern)


def _plain(value: object) -> str:
    """A value as the editor shows it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)

"""`comfy.sd1_clip`: prompts taken apart by packs themselves, and the text encoder of Stable Diffusion 1."""

from __future__ import annotations

from typing import Any

from torch import nn

from app.diffusion.conditioning.prompt import parse_weights
from app.extend.facade.comfy.sdxl_clip import LARGE, tower_widths

# What stands for parentheses that are text while a prompt is taken apart.
CLOSING, OPENING = "\0\1", "\0\2"


def escape_important(text: str) -> str:
    """The text with marks in place of parentheses behind a backslash, which are no weights."""
    return text.replace("\\)", CLOSING).replace("\\(", OPENING)


def unescape_important(text: str) -> str:
    """The inverse, without the backslashes."""
    return text.replace(CLOSING, ")").replace(OPENING, "(")


def token_weights(string: str, current_weight: float) -> list[tuple[str, float]]:
    """(text, weight) of each part of an escaped prompt; parts outside parentheses have `current_weight`."""
    text = string.replace(CLOSING, "\\)").replace(OPENING, "\\(")
    whole = text if current_weight == 1.0 else f"({text}:{current_weight})"
    return [(segment.text, segment.weight) for segment in parse_weights(whole)]


class _LAlone(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return not isinstance(instance, nn.ModuleDict) and list(tower_widths(instance).values()) == [LARGE]


class SD1ClipModel(metaclass=_LAlone):
    """The text encoder of Stable Diffusion 1: CLIP L alone."""

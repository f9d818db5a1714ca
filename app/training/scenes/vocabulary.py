"""The attributes of a scene, their colours and the words for them."""

from __future__ import annotations

from typing import NamedTuple

RGB = tuple[int, int, int]


class Named(NamedTuple):
    """A value of an attribute and the words that name it, the usual one first."""

    name: str
    words: tuple[str, ...]
    plural: str = ""


COLOURS: dict[str, RGB] = {
    "red": (220, 36, 36),
    "green": (40, 160, 60),
    "blue": (44, 84, 224),
    "yellow": (240, 214, 40),
    "purple": (140, 52, 180),
    "orange": (248, 140, 28),
    "cyan": (56, 200, 220),
    "pink": (252, 130, 190),
}
BACKGROUNDS: dict[str, RGB] = {
    "white": (246, 246, 246),
    "black": (14, 14, 14),
    "gray": (128, 128, 128),
    "brown": (112, 68, 36),
    "navy": (20, 28, 84),
}
COLOUR_WORDS: dict[str, tuple[str, ...]] = {"purple": ("purple", "violet")}
BACKGROUND_WORDS: dict[str, tuple[str, ...]] = {"gray": ("gray", "grey"), "navy": ("navy", "navy blue")}

SHAPES = (
    Named("circle", ("circle", "disc"), "circles"),
    Named("square", ("square", "box"), "squares"),
    Named("triangle", ("triangle",), "triangles"),
    Named("diamond", ("diamond", "rhombus"), "diamonds"),
    Named("cross", ("cross", "plus"), "crosses"),
    Named("ring", ("ring", "donut"), "rings"),
)
SIZES = (Named("small", ("small", "tiny", "little")), Named("large", ("large", "big", "huge")))
COUNTS = ("one", "two", "three")
POSITIONS = (
    Named("top left", ("top left", "upper left")),
    Named("top", ("top", "top center")),
    Named("top right", ("top right", "upper right")),
    Named("left", ("left", "left side")),
    Named("center", ("center", "middle")),
    Named("right", ("right", "right side")),
    Named("bottom left", ("bottom left", "lower left")),
    Named("bottom", ("bottom", "bottom center")),
    Named("bottom right", ("bottom right", "lower right")),
)
RELATIONS = (
    Named("left of", ("left of", "to the left of")),
    Named("right of", ("right of", "to the right of")),
    Named("above", ("above", "over")),
    Named("below", ("below", "under")),
)
SHAPE_NAMES = tuple(shape.name for shape in SHAPES)
COLOUR_NAMES = tuple(COLOURS)
BACKGROUND_NAMES = tuple(BACKGROUNDS)

"""Boxes with classes as context (Rombach et al. 2022, section 4.3.2), with the names of CompVis's layout2img.

Every object is three tokens: its class, and two corners as places of a square grid with as many places as there are
tokens. Objects that there are not are the last token, three times. At the end stand the corners of the part of the
picture that is seen, here all of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.diffusion.models.bert import Bert, BertConfig
from app.diffusion.models.wordless import Wordless
from app.errors import InvalidRequest

TOKENS_OF_OBJECT, TOKENS_OF_CROP = 3, 2
FORM = "Write one object a line: the number of its class, x, y, width and height, all in parts of the picture (0 to 1)."


@dataclass(frozen=True, slots=True)
class Box:
    """An object: the number of its class, its upper left corner, width and height, in parts of the picture."""

    label: int
    x: float
    y: float
    width: float
    height: float


class LayoutEmbedder(Wordless):
    """A transformer over the tokens of boxes."""

    told = "boxes"
    remedy = "Use Layout Conditioning."

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.transformer = Bert(config)

    @property
    def most(self) -> int:
        """How many boxes there may be."""
        return (self.transformer.config.length - TOKENS_OF_CROP) // TOKENS_OF_OBJECT

    def tokens(self, boxes: Sequence[Box]) -> list[int]:
        """All tokens of a layout; boxes are cut at the edges of the picture."""
        none = self.transformer.config.vocabulary - 1
        said = [token for box in boxes for token in (box.label, *self._corners(box))]
        said += [none] * (TOKENS_OF_OBJECT * (self.most - len(boxes)))
        return [*said, *self._corners(Box(0, 0.0, 0.0, 1.0, 1.0))]

    def _corners(self, box: Box) -> tuple[int, int]:
        side = math.isqrt(self.transformer.config.vocabulary)

        def place(x: float, y: float) -> int:
            column, row = (round(min(max(value, 0.0), 1.0) * (side - 1)) for value in (x, y))
            return row * side + column

        return place(box.x, box.y), place(box.x + box.width, box.y + box.height)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T) → (B, T, D)."""
        return self.transformer(tokens).hidden


def read_boxes(text: str) -> list[Box]:
    """The boxes of a text, one a line; empty lines count nothing.

    Raises:
        InvalidRequest: a line that is no box, or one outside the picture.
    """
    boxes: list[Box] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.replace(",", " ").split()
        if not words:
            continue
        try:
            label, (x, y, width, height) = int(words[0]), (float(word) for word in words[1:])
        except ValueError as error:
            raise _no_box(number, line, "is no box") from error
        if not all(map(math.isfinite, (x, y, width, height))) or width <= 0 or height <= 0:
            raise _no_box(number, line, "has no size")
        if x >= 1 or y >= 1 or x + width <= 0 or y + height <= 0:
            raise _no_box(number, line, "is outside the picture")
        boxes.append(Box(label, x, y, width, height))
    return boxes


def layout_condition(embedder: object, boxes: Sequence[Box]) -> Tensor:
    """The context (1, T, D) of boxes, on the CPU.

    Raises:
        InvalidRequest: what is given knows no boxes, not so many, or not one of the classes.
    """
    if not isinstance(embedder, LayoutEmbedder):
        raise InvalidRequest("This checkpoint knows no boxes.", remedy="Encode a prompt instead.", input_name="clip")
    if len(boxes) > embedder.most:
        raise InvalidRequest(
            f"There are {len(boxes)} boxes; the model takes {embedder.most}.",
            remedy="Leave out the smallest ones.",
            input_name="boxes",
        )
    classes = embedder.transformer.config.vocabulary - 1
    if wrong := [box.label for box in boxes if not 0 <= box.label < classes]:
        raise InvalidRequest(
            f"The model knows no class {wrong[0]}.", remedy=f"Choose from 0 to {classes - 1}.", input_name="boxes"
        )
    place = embedder.transformer.token_emb.weight.device
    with torch.no_grad():
        return embedder(torch.tensor([embedder.tokens(boxes)], device=place)).float().cpu()


def _no_box(number: int, line: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"Line {number}, {line.strip()!r}, {why}.", remedy=FORM, input_name="boxes")

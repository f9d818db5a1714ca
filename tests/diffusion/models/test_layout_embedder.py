"""Boxes become the tokens that layout2img has learnt, and what cannot be one is told by its line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from app.diffusion.models.bert import BertConfig
from app.diffusion.models.layout_embedder import Box, LayoutEmbedder, layout_condition, read_boxes
from app.errors import InvalidRequest

SHAPE = BertConfig(8192, 8, 1, 92)  # places and tokens as published: CompVis layout2img-openimages256/config.yaml
CORNERS = [0, 89 * 90 + 89]  # of the whole picture, on a grid of 90 × 90


@pytest.fixture(scope="module")
def embedder() -> LayoutEmbedder:
    torch.manual_seed(1)
    return LayoutEmbedder(SHAPE).eval()


def test_tokens_are_class_and_corners_then_nothing_then_the_whole_picture(embedder: LayoutEmbedder) -> None:
    tokens = embedder.tokens([Box(7, 0.5, 0.25, 0.25, 0.5)])
    left, top, right, bottom = round(0.5 * 89), round(0.25 * 89), round(0.75 * 89), round(0.75 * 89)
    assert tokens[:3] == [7, top * 90 + left, bottom * 90 + right]
    assert tokens[3:-2] == [8191] * 87
    assert tokens[-2:] == CORNERS and len(tokens) == 92


@given(numbers=st.lists(st.floats(-3, 3), min_size=4, max_size=4), label=st.integers(0, 8190))
def test_every_token_is_one_that_the_model_has(embedder: LayoutEmbedder, numbers: list[float], label: int) -> None:
    assert all(0 <= token < 8192 for token in embedder.tokens([Box(label, *numbers)]))


def test_boxes_are_read_line_by_line() -> None:
    assert read_boxes("3 0 0.5 1 .5\n\n 4, 0.1, 0.2, 0.3, 0.4 ") == [Box(3, 0, 0.5, 1, 0.5), Box(4, 0.1, 0.2, 0.3, 0.4)]
    assert read_boxes("") == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("dog 0 0 1 1", "is no box"),
        ("1 0 0 1", "is no box"),
        ("1 0 0 1 1 1", "is no box"),
        ("1 0 0 nan 1", "has no size"),
        ("1 0 0 0 1", "has no size"),
        ("1 2 0 1 1", "is outside"),
        ("1 0 -1 1 1", "is outside"),
    ],
)
def test_a_line_that_is_no_box_is_told(line: str, told: str) -> None:
    with pytest.raises(InvalidRequest, match=f"Line 2, {line!r}, {told}") as caught:
        read_boxes(f"1 0 0 1 1\n{line}")
    assert "class, x, y, width and height" in caught.value.remedy and caught.value.input_name == "boxes"


def test_the_context_is_as_long_as_the_layout_and_differs_with_it(embedder: LayoutEmbedder) -> None:
    one, two = (layout_condition(embedder, read_boxes(text)) for text in ("1 0 0 1 1", "2 0 0 1 1"))
    assert one.shape == (1, 92, 8) and one.dtype == torch.float32
    assert not torch.equal(one, two)
    assert torch.equal(one, layout_condition(embedder, read_boxes("1 0 0 1 1")))


def test_what_the_model_does_not_know_is_told(embedder: LayoutEmbedder) -> None:
    wrong: list[tuple[Any, list[Box], str]] = [
        (torch.nn.Linear(1, 1), [], "knows no boxes"),
        (embedder, [Box(1, 0, 0, 1, 1)] * 31, "31 boxes; the model takes 30"),
        (embedder, [Box(8191, 0, 0, 1, 1)], "no class 8191"),
        (embedder, [Box(-1, 0, 0, 1, 1)], "no class -1"),
    ]
    for model, boxes, told in wrong:
        with pytest.raises(InvalidRequest, match=told):
            layout_condition(model, boxes)

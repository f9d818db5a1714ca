from __future__ import annotations

import io

import pytest
import torch
from PIL import Image, PngImagePlugin

from app.errors import UnusableFile
from app.images.encoding import EXTENSIONS, encode, metadata_texts
from app.images.metadata import read_graph, read_texts

PROMPT = {"1": {"class_type": "A", "inputs": {"text": "a: {b}, ünï"}}}
WORKFLOW = {"nodes": [1, 2], "links": []}


@pytest.mark.parametrize("format", EXTENSIONS)
def test_what_was_written_is_read(format: str) -> None:
    content = encode(torch.zeros(4, 4, 3), format, metadata_texts(PROMPT, {"workflow": WORKFLOW}))
    texts = read_texts(content)
    assert set(texts) >= {"prompt", "workflow"}
    assert read_graph(content) == WORKFLOW


@pytest.mark.parametrize("format", EXTENSIONS)
def test_the_prompt_serves_where_there_is_no_workflow(format: str) -> None:
    assert read_graph(encode(torch.zeros(4, 4, 3), format, metadata_texts(PROMPT, None))) == PROMPT


def test_a_plain_picture_holds_no_graph() -> None:
    assert read_graph(encode(torch.zeros(4, 4, 3), "png")) is None


def with_text(workflow: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", workflow)
    target = io.BytesIO()
    Image.new("RGB", (2, 2)).save(target, "PNG", pnginfo=info)
    return target.getvalue()


def test_numbers_that_json_lacks_are_read_as_null() -> None:
    assert read_graph(with_text('{"a": NaN, "b": -Infinity, "c": "NaN"}')) == {"a": None, "b": None, "c": "NaN"}


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_a_broken_graph_is_no_graph(text: str) -> None:
    assert read_graph(with_text(text)) is None


def test_no_picture_is_told() -> None:
    with pytest.raises(UnusableFile):
        read_texts(b"hello")

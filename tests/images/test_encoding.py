from __future__ import annotations

import io
import json
import zlib

import pytest
import torch
from PIL import Image

from app.errors import InvalidRequest
from app.images.decoding import decode
from app.images.encoding import EXTENSIONS, encode, encode_animation, encode_preview, metadata_texts

PROMPT = {"3": {"class_type": "KSampler", "inputs": {"seed": 7}}}
WORKFLOW = {"nodes": [], "extra": {"note": "grün ✓"}}
TEXTS = metadata_texts(PROMPT, {"workflow": WORKFLOW})


def chunks(content: bytes) -> list[tuple[str, bytes]]:
    """The chunks of a PNG, each with a checksum that is right."""
    place, found = 8, []
    while place < len(content):
        length = int.from_bytes(content[place : place + 4])
        kind, data = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        assert int.from_bytes(content[place + 8 + length :][:4]) == zlib.crc32(kind + data)
        found.append((kind.decode(), data))
        place += length + 12
    return found


def test_png_holds_prompt_and_workflow_as_text_chunks() -> None:
    found = dict(
        data.split(b"\0", 1) for kind, data in chunks(encode(torch.zeros(2, 3, 3), "png", TEXTS)) if kind == "tEXt"
    )
    assert json.loads(found[b"prompt"]) == PROMPT
    # JSON text escapes what Latin-1 lacks, so that the chunk can be read by everybody.
    assert json.loads(found[b"workflow"]) == WORKFLOW
    assert found[b"prompt"].decode() == json.dumps(PROMPT)


def test_png_keeps_every_pixel() -> None:
    image = torch.rand(7, 5, 4).mul(255).round() / 255
    decoded = decode(encode(image, "png"))
    assert torch.allclose(decoded.image[0], image[..., :3])
    assert torch.allclose(1 - decoded.mask[0], image[..., 3])


def test_webp_and_jpeg_hold_the_texts_as_exif() -> None:
    for kind in ("webp", "jpeg"):
        exif = Image.open(io.BytesIO(encode(torch.zeros(8, 8, 3), kind, TEXTS))).getexif()
        assert exif[0x0110] == "prompt:" + json.dumps(PROMPT)
        assert exif[0x010F] == "workflow:" + json.dumps(WORKFLOW)


def test_quality_100_is_lossless_in_webp() -> None:
    image = torch.rand(9, 9, 3).mul(255).round() / 255
    assert torch.allclose(decode(encode(image, "webp", quality=100)).image[0], image)
    assert len(encode(image, "webp", quality=10)) < len(encode(image, "webp", quality=100))


def test_nothing_is_written_when_there_is_nothing_to_say() -> None:
    assert metadata_texts(None, None) == {}
    assert [kind for kind, _ in chunks(encode(torch.zeros(2, 2, 3), "png", {}))] == ["IHDR", "IDAT", "IEND"]


def test_other_formats_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="svg") as told:
        encode(torch.zeros(2, 2, 3), "svg")
    assert all(name in told.value.remedy for name in EXTENSIONS)


@pytest.mark.parametrize(("shape", "size"), [((20, 40, 3), (10, 5)), ((4, 6, 1), (6, 4)), ((40, 20, 4), (5, 10))])
def test_previews_are_small_jpegs(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    picture = Image.open(io.BytesIO(encode_preview(torch.rand(shape), 10)))
    assert picture.format == "JPEG"
    assert picture.size == size


def test_an_animation_has_every_frame_and_the_texts() -> None:
    images = (torch.rand(3, 4, 5, 3) * 255).round() / 255
    for kind in ("png", "webp"):
        content = encode_animation(images, kind, 20.0, TEXTS)
        assert torch.allclose(decode(content).image, images)
        with Image.open(io.BytesIO(content)) as picture:
            picture.seek(2)
            picture.load()
            assert picture.info["duration"] == 50
    found = [
        data.split(b"\0", 1)[0] for kind, data in chunks(encode_animation(images, "png", 1.0, TEXTS)) if kind == "tEXt"
    ]
    assert found == [b"prompt", b"workflow"]


def test_what_cannot_move_is_told() -> None:
    with pytest.raises(InvalidRequest, match="gif"):
        encode_animation(torch.zeros(2, 4, 4, 3), "gif", 1.0)
    with pytest.raises(InvalidRequest, match="not numbers"):
        encode_animation(torch.full((2, 4, 4, 3), float("nan")), "png", 1.0)

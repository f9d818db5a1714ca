from __future__ import annotations

import io
import zlib
from pathlib import Path

import pytest
import torch
from PIL import Image

from app.errors import Missing, TooLarge, UnusableFile
from app.images import decoding
from app.images.decoding import decode, decode_channel


def png(picture: Image.Image, **options: object) -> bytes:
    target = io.BytesIO()
    picture.save(target, "PNG", **options)
    return target.getvalue()


def length(chunk: bytes) -> bytes:
    return (len(chunk) - 4).to_bytes(4)


def test_colours_and_an_empty_mask() -> None:
    decoded = decode(png(Image.new("RGB", (5, 3), (255, 0, 51))))
    assert decoded.image.shape == (1, 3, 5, 3)
    assert torch.allclose(decoded.image[0, 0, 0], torch.tensor([1.0, 0.0, 0.2]))
    assert decoded.mask.shape == (1, 64, 64)
    assert not decoded.mask.any()


def test_the_mask_is_one_where_the_picture_is_transparent() -> None:
    picture = Image.new("RGBA", (4, 2), (10, 20, 30, 255))
    picture.putpixel((1, 0), (10, 20, 30, 0))
    picture.putpixel((2, 1), (10, 20, 30, 51))
    decoded = decode(png(picture))
    assert decoded.mask.shape == (1, 2, 4)
    assert decoded.mask[0, 0, 1] == 1
    assert decoded.mask[0, 1, 2] == pytest.approx(0.8)
    assert decoded.mask[0, 0, 0] == 0
    assert torch.allclose(decoded.image[0, 0, 1] * 255, torch.tensor([10.0, 20.0, 30.0]))


def test_transparency_of_a_palette_counts() -> None:
    picture = Image.new("P", (2, 1), 0)
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putpixel((1, 0), 1)
    mask = decode(png(picture, transparency=1)).mask
    assert mask.tolist() == [[[0.0, 1.0]]]


def test_phones_turn_pictures_by_exif() -> None:
    picture = Image.new("RGB", (4, 2))
    exif = Image.Exif()
    exif[0x0112] = 6
    target = io.BytesIO()
    picture.save(target, "JPEG", exif=exif)
    assert decode(target.getvalue()).image.shape == (1, 4, 2, 3)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    picture = Image.new("I;16", (1, 1), 32768)
    assert decode(png(picture)).image[0, 0, 0, 0] == pytest.approx(0.5, abs=0.01)


def test_all_frames_of_one_size_are_read() -> None:
    frames = [Image.new("RGB", (3, 3), (value, 0, 0)) for value in (0, 100, 200)]
    target = io.BytesIO()
    frames[0].save(target, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    image = decode(target.getvalue()).image
    assert image.shape == (3, 3, 3, 3)
    assert [round(float(frame[0, 0, 0]) * 255) for frame in image] == [0, 100, 200]


@pytest.mark.parametrize(
    "content",
    [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, png(Image.new("RGB", (64, 64), (1, 2, 3)))[:60]],
    ids=["empty", "text", "zeros", "cut"],
)
def test_damaged_files_are_told(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(UnusableFile, match=r"bad\.png") as told:
        decode(path)
    assert told.value.remedy


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"gone\.png"):
        decode(tmp_path / "gone.png")


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    # A PNG of 60,000 by 60,000 pixels is a few bytes long until somebody unpacks it.
    header = b"IHDR" + (60_000).to_bytes(4) + (60_000).to_bytes(4) + bytes([8, 2, 0, 0, 0])
    pixels = b"IDAT" + zlib.compress(b"")
    parts = [part for chunk in (header, pixels) for part in (length(chunk), chunk, zlib.crc32(chunk).to_bytes(4))]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(parts)
    with pytest.raises(TooLarge, match="pixels"):
        decode(content)


def test_all_frames_count_for_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [Image.new("RGB", (10, 10), (value, 0, 0)) for value in (0, 100)]
    target = io.BytesIO()
    frames[0].save(target, "GIF", save_all=True, append_images=frames[1:])
    monkeypatch.setattr(decoding, "MAX_PIXELS", 150)
    with pytest.raises(TooLarge, match="2 × 10 × 10"):
        decode(target.getvalue())


@pytest.mark.parametrize(("channel", "value"), [("red", 1.0), ("green", 0.0), ("blue", 0.2), ("alpha", 0.6)])
def test_single_channels(channel: str, value: float) -> None:
    mask = decode_channel(png(Image.new("RGBA", (2, 2), (255, 0, 51, 102))), channel)
    assert mask.shape == (1, 2, 2)
    assert mask[0, 0, 0] == pytest.approx(value)


def test_a_channel_that_is_not_there_is_empty() -> None:
    assert not decode_channel(png(Image.new("RGB", (2, 2), (9, 9, 9))), "alpha").any()

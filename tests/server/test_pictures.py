"""Pictures made smaller, reduced to channels, masked; and those that cannot be read."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from app.errors import TooLarge, UnusableFile
from app.server import pictures
from app.server.models import read_metadata
from app.server.pictures import channel, open_picture, preview, with_alpha_of
from app.server.system_stats import memory


@pytest.fixture
def red(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    Image.new("RGBA", (6, 4), (200, 0, 0, 100)).save(path)
    return path


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize(
    ("kind", "quality", "mime"), [("jpeg", 90, "image/jpeg"), ("webp", 0, "image/webp"), ("png", 999, "image/webp")]
)
def test_previews(red: Path, kind: str, quality: int, mime: str) -> None:
    content, said = preview(red, kind, quality, opaque=False)
    assert said == mime
    assert opened(content).size == (6, 4)


def test_an_opaque_preview_has_no_alpha(red: Path) -> None:
    assert opened(preview(red, "webp", 90, opaque=True)[0]).mode == "RGB"


def test_channels(red: Path) -> None:
    assert opened(channel(red, "rgb")).getpixel((0, 0)) == (200, 0, 0)
    assert opened(channel(red, "a")).getpixel((0, 0)) == (0, 0, 0, 100)


def test_a_mask_of_another_size_is_fitted(red: Path, tmp_path: Path) -> None:
    Image.new("RGBA", (3, 2), (0, 0, 0, 7)).save(tmp_path / "mask.png")
    made = opened(with_alpha_of(red, tmp_path / "mask.png"))
    assert (made.size, made.getpixel((5, 3))) == ((6, 4), (200, 0, 0, 7))


def test_a_mask_without_alpha_is_opaque(red: Path, tmp_path: Path) -> None:
    Image.new("L", (6, 4), 9).save(tmp_path / "mask.png")
    assert opened(with_alpha_of(red, tmp_path / "mask.png")).getpixel((0, 0)) == (200, 0, 0, 255)


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"<svg/>", b"RIFF\0\0\0\0WEBPVP8 ", b"\xff\xd8\xff"]
)
def test_what_is_no_picture(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(UnusableFile, match=r"x\.png"):
        open_picture(tmp_path / "x.png")


def test_too_many_pixels_are_refused_before_they_are_decoded(red: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_PIXELS", 10)
    with pytest.raises(TooLarge, match="6 by 4"):
        open_picture(red)


@pytest.mark.parametrize(
    "content", [b"", b"\x02\0\0\0\0\0\0\0{}", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]", b"\x09\0\0\0\0\0\0\0{"]
)
def test_files_without_metadata(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    assert read_metadata(tmp_path / "x.safetensors") is None


def test_memory_is_known() -> None:
    total, free = memory()
    assert total > 0
    assert 0 <= free <= total

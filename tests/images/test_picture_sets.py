from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from app.errors import InvalidRequest, Missing, UnusableFile
from app.images.picture_sets import FITTING, LONGEST_CAPTION, caption_of, fitted, picture_set, pictures_in


def draw(path: Path, size: tuple[int, int] = (6, 4), colour: tuple[int, int, int] = (255, 0, 0)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def test_pictures_come_by_name_and_folders_with_a_number_count_so_often(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "3_cats/x.webp", "plain/y.png", ".hidden/z.png"):
        draw(tmp_path / name)
    (tmp_path / "a.txt").write_text("a cat")
    names = [path.relative_to(tmp_path).as_posix() for path in pictures_in(tmp_path)]
    assert names == ["a.JPG", "b.png", *["3_cats/x.webp"] * 3, "plain/y.png"]


def test_links_that_lead_elsewhere_are_left_alone(tmp_path: Path) -> None:
    outside = draw(tmp_path / "outside" / "secret.png")
    inside = draw(tmp_path / "set" / "a.png").parent
    (inside / "b.png").symlink_to(outside)
    (inside / "more").symlink_to(outside.parent)
    assert [path.name for path in pictures_in(inside)] == ["a.png"]


def test_no_folder_and_no_pictures_are_told(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="gone"):
        pictures_in(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Missing, match="no picture") as empty:
        pictures_in(tmp_path / "empty")
    assert ".png" in empty.value.remedy


def test_captions_are_the_text_beside(tmp_path: Path) -> None:
    picture = draw(tmp_path / "a.b.png")
    assert caption_of(picture) == ""
    (tmp_path / "a.b.txt").write_text("\ufeff a red square\n", "utf-8")
    assert caption_of(picture) == "a red square"
    (tmp_path / "a.b.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidRequest, match="UTF-8"):
        caption_of(picture)
    (tmp_path / "a.b.txt").write_bytes(b"x" * (LONGEST_CAPTION + 1))
    with pytest.raises(InvalidRequest, match="longer"):
        caption_of(picture)


def test_pictures_of_one_size_are_a_batch(tmp_path: Path) -> None:
    files = [draw(tmp_path / "a.png"), draw(tmp_path / "b.png", colour=(0, 0, 255))]
    batch = picture_set(files)
    assert batch.shape == (2, 4, 6, 3)
    assert torch.equal(batch[:, 0, 0], torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]))


def test_another_size_is_told_or_fitted(tmp_path: Path) -> None:
    files = [draw(tmp_path / "a.png"), draw(tmp_path / "b.png", (8, 8))]
    with pytest.raises(InvalidRequest, match=r"'b\.png' has 8 × 8 pixels, and not 6 × 4") as told:
        picture_set(files)
    assert told.value.input_name == "resize_method"
    for fitting in FITTING[1:]:
        assert picture_set(files, fitting).shape == (2, 4, 6, 3)
    assert picture_set(files, "Stretch", 5, -1).shape == (2, 4, 5, 3)
    assert picture_set(files, "Crop", 16, 24).shape == (2, 24, 16, 3)


def test_a_damaged_picture_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(UnusableFile, match="bad"):
        picture_set([tmp_path / "bad.png"])


def test_how_each_way_of_fitting_looks() -> None:
    """A picture whose left half is red: twice as wide as what it has to fit in."""
    image = torch.zeros(1, 8, 16, 3)
    image[:, :, :8, 0] = 1
    stretched, cropped, padded = (fitted(image, (8, 8), fitting)[0, :, :, 0] for fitting in FITTING[1:])
    for whole in (stretched, cropped):
        assert whole[:, :2].min() > 0.9
        assert whole[:, -2:].max() < 0.1
    assert padded[:2].max() == 0
    assert padded[-2:].max() == 0
    assert padded[3:5, :2].min() > 0.9
    tall = fitted(image.transpose(1, 2), (8, 8), "Pad")[0, :, :, 0]
    assert tall[:, :2].max() == 0
    assert fitted(image, (1, 100), "Pad").shape == (1, 100, 1, 3)
